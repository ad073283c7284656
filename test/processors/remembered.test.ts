import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openCluster } from '../../connectors/kafka/cluster.ts'
import { KafkaStateStore } from '../../connectors/kafka/state-store.ts'
import { TopicAdmin } from '../../connectors/kafka/topic-admin.ts'
import { TopicMetadata } from '../../connectors/kafka/topic-metadata.ts'
import { openWriterParts } from '../../connectors/kafka/writer-parts.ts'
import type { AnyProcessor } from '../../src/core/component.ts'
import type { StateStore } from '../../src/core/state.ts'
import { cluster } from '../../src/processors/cluster.ts'
import { dedupe } from '../../src/processors/dedupe.ts'
import { novelty } from '../../src/processors/novelty.ts'
import { settingsOf } from '../connectors/kafka/settings.ts'
import { openState, removeKeys } from '../connectors/redis/support.ts'
import { findService } from '../services/services.ts'
import { makeWith, run } from './embedder.ts'
import { atAngle, fakeEmbedder, scoreAt } from './fake-embedder.ts'
import { lives, through } from './lives.ts'
import { event } from './support.ts'

const minScore = scoreAt(10.5)
const processors: readonly (readonly [AnyProcessor, unknown])[] = [
  [dedupe, { vector: 'v', minScore, countAs: 'more', last: 4 }],
  [novelty, { vector: 'v', last: 4 }],
  [cluster, { vector: 'v', text: 'value.text', nameAs: 'name', sizeAs: 'size', scoreAs: 'score', minScore, most: 3 }],
]

/** What comes of events does not depend on the lives of the lane, with the state in a store of its own. */
async function decidesTheSame(store: StateStore, numRuns: number): Promise<void> {
  const angles = fc.array(
    fc.integer({ min: 0, max: 35 }).map((step) => step * 10),
    { minLength: 1, maxLength: 30 },
  )
  await fc.assert(
    fc.asyncProperty(angles, fc.constantFrom(...processors), lives, async (angles, [definition, options], lives) => {
      const events = angles.map((angle, offset) => {
        const place = { position: { topic: 't', partition: 0, offset }, vectors: { v: atAngle(angle) } }
        return event({ text: `subject${angle} ${offset % 3 === 0 ? 'often' : ''}` }, place)
      })
      const create = () => makeWith(fakeEmbedder(2), definition, options)
      const expected = await run(await create(), events)
      const scope = randomUUID()
      const own = { takeOver: (_: string, committed: number) => store.takeOver(scope, committed) }
      for (const [index, outcome] of await through(lives, events, create, own)) {
        expect(outcome, `${definition.name} ${index}`).toEqual(expected[index])
      }
    }),
    { numRuns },
  )
}

const url = await findService('redis')
const brokers = await findService('kafka')

describe('what is remembered by meaning outlives crashes between state and commit', { timeout: 120_000 }, () => {
  it.skipIf(url === undefined)('on Redis', async () => {
    const prefix = `test-${randomUUID()}`
    const store = openState({ url, prefix })
    await decidesTheSame(store, 100)
    await store.close()
    await removeKeys({ url }, prefix)
  })

  it.skipIf(brokers === undefined)('on Kafka', async () => {
    const settings = settingsOf(brokers)
    const control = await openCluster(settings, 'control')
    const admin = new TopicAdmin({ control, topics: new TopicMetadata(control), settings })
    const parts = await openWriterParts(settings, admin, () => undefined)
    await decidesTheSame(new KafkaStateStore(async () => parts), 15)
    await Promise.all([control.disconnect(), parts.cluster.disconnect()])
  })
})
