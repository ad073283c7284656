import type { ComponentContext, SinkContext } from '../../src/core/component.ts'
import type { Embedder } from '../../src/core/embedder.ts'
import { type Event, noHeaders, noVectors } from '../../src/core/event.ts'
import type { Services } from '../../src/core/services.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { createSerde } from '../../src/serde/index.ts'

/** An event of topic `orders`, partition 0. */
export function eventAt(offset: number, changes: Partial<Event> = {}): Event {
  return {
    id: `orders/0/${offset}`,
    key: null,
    value: { n: offset },
    headers: noHeaders,
    timestamp: 1_700_000_000_000 + offset,
    position: { topic: 'orders', partition: 0, offset },
    vectors: noVectors,
    ...changes,
  }
}

export const sinkContext: SinkContext = { lane: 'shop/orders/0', signal: new AbortController().signal }

/** A context with the given services; asking for another one fails the test. */
export function componentContext(
  component: string,
  services: Partial<Services>,
  schemas = 'no-such-folder',
): ComponentContext {
  const missing = (name: string) => () => Promise.reject(new Error(`This test has no ${name}.`))
  return {
    pipeline: 'shop',
    component,
    expressions: createExpressions(),
    services: {
      serde: createSerde({ folder: schemas }),
      log: missing('log'),
      analytics: missing('analytics'),
      vectors: missing('vectors'),
      live: missing('live'),
      embedder: missing('embedder'),
      ...services,
    },
  }
}

/** Says what vectors it would make, and makes none. */
export function embedderOf(fingerprint: string, dimension: number): Embedder {
  const none = () => Promise.reject(new Error('This embedder makes no vectors.'))
  const prefixes = { query: '', passage: '' }
  const model = { model: fingerprint, fingerprint, dimension, maxTokens: 256, prefixes }
  return { ...model, embed: none, countTokens: none, close: none }
}
