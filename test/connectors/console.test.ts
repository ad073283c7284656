import { PassThrough, Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { consoleSinkTo } from '../../connectors/console.ts'
import type { EventSink } from '../../src/core/component.ts'
import { componentContext, eventAt, sinkContext } from '../support/sinks.ts'

async function sink(output: Writable): Promise<EventSink> {
  const made = await consoleSinkTo(output).create({}, componentContext('console', {}))
  if (made.takes !== 'events') throw new Error('The console sink takes events.')
  return made
}

test('prints one line of JSON for each event, without vectors', async () => {
  const output = new PassThrough()
  const printing = await sink(output)
  const vectors = { meaning: Float32Array.of(1, 2) }
  await printing.write([eventAt(1, { key: 'k', vectors }), eventAt(2, { value: null })], sinkContext)
  await printing.write([], sinkContext)
  const lines = String(output.read()).split('\n')
  expect(lines).toHaveLength(3)
  expect(JSON.parse(lines[0] ?? '')).toEqual({
    id: 'orders/0/1',
    key: 'k',
    value: { n: 1 },
    headers: {},
    timestamp: 1_700_000_000_001,
    topic: 'orders',
    partition: 0,
    offset: 1,
  })
  expect(JSON.parse(lines[1] ?? '')).toMatchObject({ value: null, offset: 2 })
})

test('waits for a slow reader', async () => {
  let accept: (() => void) | undefined
  const slow = new Writable({
    write(_chunk, _encoding, done) {
      accept = done
    },
  })
  let written = false
  const writing = (await sink(slow)).write([eventAt(1)], sinkContext).then(() => {
    written = true
  })
  await new Promise(setImmediate)
  expect(written).toBe(false)
  accept?.()
  await writing
  expect(written).toBe(true)
})

test('a reader that is gone stops the pipeline', async () => {
  const gone = new Writable({ write: (_chunk, _encoding, done) => done(new Error('EPIPE')) })
  gone.on('error', () => undefined)
  await expect((await sink(gone)).write([eventAt(1)], sinkContext)).rejects.toThrow('Cannot print: EPIPE')
})
