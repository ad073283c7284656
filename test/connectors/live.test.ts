import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openEmbeddedLiveLog } from '../../connectors/embedded-log/index.ts'
import { live } from '../../connectors/live.ts'
import type { EventSink } from '../../src/core/component.ts'
import type { LiveLog } from '../../src/core/live-log.ts'
import { componentContext, eventAt, sinkContext } from '../support/sinks.ts'

let folder: string
let log: LiveLog

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-live-'))
  log = await openEmbeddedLiveLog(folder)
})
afterEach(async () => {
  await log.close()
  await rm(folder, { recursive: true, force: true })
})

async function sink(options: object, component = 'live'): Promise<EventSink> {
  const made = await live.create(options, componentContext(component, { live: async () => log }))
  if (made.takes !== 'events') throw new Error('The live sink takes events.')
  return made
}

test('pushes events with the only vector they have; a tombstone retracts', async () => {
  const tickets = await sink({ channel: 'tickets' })
  const events = [
    eventAt(1, { key: 'k', value: { n: 1 }, vectors: { meaning: Float32Array.of(1, 0.5) } }),
    eventAt(2, { vectors: { one: Float32Array.of(1, 0), two: Float32Array.of(0, 1) } }),
    eventAt(3, { id: 'orders/0/1', value: null }),
  ]
  expect(await tickets.write(events, sinkContext)).toEqual([])
  const stored = await log.read('tickets', 0, 10)
  expect(stored).toMatchObject([
    { id: 'orders/0/1', key: 'k', value: { n: 1 }, timestamp: 1_700_000_000_001 },
    { id: 'orders/0/2' },
    { id: 'orders/0/1', value: null },
  ])
  expect(stored.map(({ vector }) => (vector === undefined ? undefined : [...vector]))).toEqual([
    [1, 0.5],
    undefined,
    undefined,
  ])
})

test('an id that can come again has its offset as version, one of a position has none', async () => {
  const tickets = await sink({ channel: 'tickets' })
  const ids = ['customer 7', 'orders/0/2', 'orders/0/3#2', 'orders/0/1', 'orders/0/50']
  await tickets.write(
    ids.map((id, index) => eventAt(index + 1, { id })),
    sinkContext,
  )
  const stored = await log.read('tickets', 0, 10)
  expect(stored.map(({ version }) => version)).toEqual([1, undefined, undefined, 4, 5])
})

test('a named vector is taken where there are several', async () => {
  const tickets = await sink({ channel: 'tickets', vector: 'two' })
  const vectors = { one: Float32Array.of(1, 0), two: Float32Array.of(0, 1) }
  await tickets.write([eventAt(1, { vectors })], sinkContext)
  expect((await log.read('tickets', 0, 10)).map(({ vector }) => [...(vector ?? [])])).toEqual([[0, 1]])
})

test('a replay, in any grouping, is not pushed twice', async () => {
  const tickets = await sink({ channel: 'tickets' })
  await tickets.write([eventAt(1), eventAt(2)], sinkContext)
  await tickets.write([eventAt(2), eventAt(3)], sinkContext)
  await tickets.write([], sinkContext)
  expect((await log.read('tickets', 0, 10)).map(({ id }) => id)).toEqual(['orders/0/1', 'orders/0/2', 'orders/0/3'])
})

test('two live sinks of one pipeline on one channel do not shadow each other', async () => {
  const [first, second] = [await sink({ channel: 'tickets' }, 'live'), await sink({ channel: 'tickets' }, 'live.2')]
  await first.write([eventAt(1)], sinkContext)
  await second.write([eventAt(1)], sinkContext)
  expect(await log.read('tickets', 0, 10)).toHaveLength(2)
})

test('a named vector is checked by lint, and the channel is the main option', () => {
  expect(live.main).toBe('channel')
  expect(live.references({ channel: 'tickets' })).toEqual([])
  expect(live.references({ channel: 'tickets', vector: 'meaning' })).toEqual([
    { kind: 'vector', path: ['vector'], name: 'meaning' },
  ])
})
