import { expect, test } from 'vitest'
import { openEmbeddedLog } from '../../connectors/embedded-log/index.ts'
import type { AuditEntry } from '../../src/core/audit.ts'
import { Retryable } from '../../src/core/errors.ts'
import type { EventLog } from '../../src/core/event-log.ts'
import { type AuditTrailOptions, createAuditTrail } from '../../src/server/audit-trail.ts'
import { createLog } from '../../src/telemetry/index.ts'
import { until } from '../support/api.ts'
import { tempFolder } from '../support/cli.ts'

const topic = 'millrace.audit'
const refused: AuditEntry = { action: 'search', name: 'docs', principal: 'ann', outcome: 'refused', code: 'forbidden' }
const allowed: AuditEntry = {
  action: 'publish',
  name: 'orders',
  principal: 'bob',
  address: '10.0.0.1',
  outcome: 'allowed',
}

async function stored(log: EventLog): Promise<Record<string, unknown>[]> {
  const records = await log.read({ topic, partition: 0 }, 0, { events: 10_000, bytes: 10_000_000 })
  return records.map(({ value }) => JSON.parse(new TextDecoder().decode(value ?? undefined)))
}

/** A trail on the real log, which can be made to refuse. */
async function open(options: Partial<AuditTrailOptions> = {}) {
  const folder = await tempFolder()
  const log = await openEmbeddedLog(folder.path)
  const lines: string[] = []
  const state = { down: false, appends: 0 }
  const trail = createAuditTrail({
    log: async () => {
      if (state.down) throw new Retryable({ code: 'log_unavailable', message: 'The log is away.' })
      state.appends++
      return log
    },
    topic,
    logger: createLog({ write: (line) => lines.push(line), format: 'json' }),
    batchMs: 1,
    retryMs: 1,
    ...options,
  })
  return {
    log,
    trail,
    lines,
    state,
    [Symbol.asyncDispose]: async () => {
      await trail.close()
      await log.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

test('entries are events of the topic, with all they say and their time', async () => {
  await using harness = await open({ config: { retentionMs: 90_000_000 } })
  const { trail, log } = harness
  const before = Date.now()
  trail.audit(refused)
  trail.audit(allowed)
  trail.audit({ action: 'authenticate', principal: null, outcome: 'refused', code: 'unauthenticated' })
  await trail.close()
  const entries = await stored(log)
  expect(entries).toEqual([
    { time: expect.any(String), ...refused },
    { time: expect.any(String), ...allowed },
    { time: expect.any(String), action: 'authenticate', principal: null, outcome: 'refused', code: 'unauthenticated' },
  ])
  expect(Date.parse(String(entries[0]?.time))).toBeGreaterThanOrEqual(before)
  expect((await log.topics()).find(({ name }) => name === topic)?.config.retentionMs).toBe(90_000_000)
})

test('whoever asks for the same over and over is one event with a count', async () => {
  await using harness = await open({ batchMs: 50 })
  const { trail, log, state } = harness
  for (let time = 0; time < 500; time++) trail.audit(allowed)
  trail.audit(refused)
  await trail.close()
  expect(await stored(log)).toEqual([
    { time: expect.any(String), ...allowed, count: 500, until: expect.any(String) },
    { time: expect.any(String), ...refused },
  ])
  expect(state.appends).toBe(1)
})

test('a name that a client made up does not fill the topic', async () => {
  await using harness = await open()
  harness.trail.audit({ ...refused, name: 'x'.repeat(100_000) })
  await harness.trail.close()
  expect((await stored(harness.log))[0]?.name).toBe('x'.repeat(256))
})

test('while the log is away entries wait; beyond the bound the later ones are counted, and told', async () => {
  await using harness = await open({ waiting: 10 })
  const { trail, log, lines, state } = harness
  state.down = true
  for (let n = 0; n < 25; n++) trail.audit({ ...allowed, name: `orders-${n}` })
  await until(async () => lines.length > 0)
  for (let n = 0; n < 5; n++) trail.audit({ ...allowed, name: `late-${n}` })
  expect(lines).toEqual([expect.stringContaining('The log is away')])
  state.down = false
  await until(async () => lines.length > 1)
  expect(lines[1]).toContain('written again')
  trail.audit(refused)
  await trail.close()
  const entries = await stored(log)
  const names = entries.map(({ name, action }) => name ?? action)
  expect(names).toEqual([...Array.from({ length: 10 }, (_, n) => `orders-${n}`), 'lost', 'lost', 'docs'])
  const lost = entries.filter(({ action }) => action === 'lost').map(({ count }) => Number(count))
  expect(lost.reduce((one, other) => one + other, 0)).toBe(20)
})

test('what cannot be stored before the end is told, and holds the end up only for a while', async () => {
  await using harness = await open({ closeMs: 20 })
  const { trail, lines, state } = harness
  state.down = true
  trail.audit(allowed)
  trail.audit(refused)
  await trail.close()
  trail.audit(allowed)
  expect(lines.at(-1)).toContain('"entries":2')
})
