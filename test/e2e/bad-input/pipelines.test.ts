import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openEmbeddedLog } from '../../../connectors/embedded-log/index.ts'
import { runCli } from '../../support/cli.ts'
import { startOrders } from './orders.ts'
import {
  column,
  eventually,
  expectNoTrace,
  pipelineStatus,
  plainPipeline,
  post,
  problemOf,
  publish,
  texts,
} from './support.ts'

const poisoned = `
name: poisoned
source: { topic: poisoned }
processors:
  - map: { n: value.n, at: value.at, share: 10 / value.n }
sinks:
  - clickhouse: { table: poisoned, columns: { n: UInt8, at: DateTime, share: Float64 } }
  - live: poisoned
block: { age: 100ms }
`

let orders: Awaited<ReturnType<typeof startOrders>>
beforeAll(async () => {
  orders = await startOrders({ 'pipelines/texts.yaml': texts, 'pipelines/poisoned.yaml': poisoned })
})
afterAll(() => orders[Symbol.asyncDispose]())

describe('a pipeline that is put', () => {
  test('one with mistakes is refused with every place, and the one that runs goes on', async () => {
    const yaml = plainPipeline('orders', { n: 'UInt32' })
      .replace('source:', 'sorce:')
      .replace('live: orders', 'live: { chanel: x }')
    const found = await orders.around(async () =>
      problemOf(await post(`${orders.address}/v1/pipelines/orders`, yaml, 'application/yaml', 'PUT')),
    )
    expect(found.status).toBe(400)
    expect(found.detail).toContain('orders.yaml:3:1: unknown key "sorce", did you mean "source"?')
    expect(found.detail).toContain('did you mean "channel"?')
    expect(found.errors).toMatchObject([
      { line: 3, column: 1, code: 'unknown_key', message: 'unknown key "sorce", did you mean "source"?' },
      { line: 6, message: expect.stringContaining('did you mean "channel"?') },
    ])
    await orders.expectAll()
  })

  test('a column type that ClickHouse does not have fails that pipeline alone, with what was meant', async () => {
    const yaml = plainPipeline('impossible', { n: 'Strng' })
    const response = await post(`${orders.address}/v1/pipelines/impossible`, yaml, 'application/yaml', 'PUT')
    expect(response.status, await response.text()).toBe(200)
    const { reason = '' } = await eventually(async () => {
      const status = await pipelineStatus(orders.address, 'impossible')
      expect(status.state).toBe('failed')
      return status
    })
    expect(reason).toContain('table impossible')
    expect(reason).toContain('Strng')
    expect(reason).toContain('String')
    expectNoTrace(reason)
    await publish(orders.address, 'impossible', { n: 'kept' })
    await orders.around(async () => undefined)
    await orders.expectAll()
    // Mended, it takes what was accepted meanwhile.
    await post(
      `${orders.address}/v1/pipelines/impossible`,
      plainPipeline('impossible', { n: 'String' }),
      'application/yaml',
      'PUT',
    )
    await eventually(async () => expect(await column(orders.address, 'impossible', 'n')).toEqual(['kept']))
    await fetch(`${orders.address}/v1/pipelines/impossible`, { method: 'DELETE' })
  })
})

describe('poison', () => {
  test('goes to the dead letters with its own bytes, and the events beside it arrive', async () => {
    const bad = [
      ['{"n":300,"at":1,"raw":"  kept as it came "}', 'clickhouse', 'column n: 300 is out of the range of UInt8'],
      ['{"n":"x","at":1}', 'map', 'there is no operation number / string'],
      ['{"n":0,"at":1}', 'map', 'Infinity'],
      ['{"n":2,"at":"never"}', 'clickhouse', 'column at: "never"'],
      ['{"at":1}', 'map', 'value has no field "n"'],
    ] as const
    for (const [index, [text]] of bad.entries()) {
      const beside = JSON.stringify({ n: index + 1, at: '2026-01-01T00:00:00Z' })
      const body = `${beside}\n${text}\n`
      const response = await post(`${orders.address}/v1/topics/poisoned/events`, body, 'application/x-ndjson')
      expect(response.status, await response.text()).toBe(200)
    }
    await eventually(async () => expect((await pipelineStatus(orders.address, 'poisoned')).lag).toBe(0))
    expect(await column(orders.address, 'poisoned', 'n')).toEqual([1, 2, 3, 4, 5])
    expect(await pipelineStatus(orders.address, 'poisoned')).toMatchObject({ state: 'running' })

    const shown = await runCli(['dlq', 'show', 'poisoned'], { cwd: orders.folder })
    expect(shown.code).toBe(0)
    expectNoTrace(shown.stdout)
    for (const [text, component, said] of bad) {
      expect(shown.stdout).toContain(` in ${component}: `)
      expect(shown.stdout).toContain(said)
      expect(shown.stdout).toContain(text)
    }
    const counted = await runCli(['dlq'], { cwd: orders.folder })
    expect(counted.stdout).toMatch(/poisoned +5 /)
    expect(counted.stdout).toMatch(/orders +0 /)
  })

  test('bytes that are no JSON at all are kept as they are', async () => {
    const log = await openEmbeddedLog(join(orders.folder, 'data', 'log'))
    try {
      const bytes = new Uint8Array([0x7b, 0xff, 0x00, 0x80])
      const letters = async () => await log.read({ topic: 'orders.dlq', partition: 0 }, 0, { events: 10, bytes: 1_000 })
      expect(await letters()).toEqual([])
      await orders.around(async () => await log.append('orders', [{ key: Buffer.from('k'), value: bytes }]))
      const [letter] = await eventually(async () => {
        const found = await letters()
        expect(found).toHaveLength(1)
        return found
      })
      expect([...(letter?.value ?? [])]).toEqual([...bytes])
      expect(Buffer.from(letter?.key ?? []).toString()).toBe('k')
      expect(Buffer.from(letter?.headers['millrace-code'] ?? []).toString()).toBe('bad_bytes')
    } finally {
      await log.close()
    }
    await orders.expectAll()
    const { stdout } = await runCli(['dlq', 'show', 'orders'], { cwd: orders.folder })
    expect(stdout).toContain('bad_bytes in ')
    expectNoTrace(stdout)
  })

  test('an empty text cannot be embedded, and the events beside it are found', async () => {
    await publish(orders.address, 'texts', { text: '' }, { text: 'my parcel is late', category: 'shipping' })
    await eventually(async () => expect((await pipelineStatus(orders.address, 'texts')).lag).toBe(0))
    const search = JSON.stringify({ text: 'where is my parcel', k: 1 })
    const response = await post(`${orders.address}/v1/collections/texts/search`, search)
    expect(await response.json()).toMatchObject({ matches: [{ fields: { category: 'shipping' } }] })
    const { stdout } = await runCli(['dlq', 'show', 'texts'], { cwd: orders.folder })
    expect(stdout).toContain('the text is empty')
    expect(stdout.match(/ in embed: /g)).toHaveLength(1)
  })
})

test('after all of this the log of the server has one line, for the pipeline that failed', () => {
  expect(orders.warnings()).toEqual([expect.stringMatching(/ERROR pipeline impossible has stopped: .*Strng/)])
})
