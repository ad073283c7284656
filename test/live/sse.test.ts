import { afterEach, expect, test } from 'vitest'
import { parseEventId } from '../../src/live/encoding.ts'
import { type Harness, startServer } from '../server/harness.ts'

const open: AsyncDisposable[] = []
afterEach(async () => {
  for (const harness of open.splice(0)) await harness[Symbol.asyncDispose]()
})

interface Frame {
  readonly event: string | undefined
  readonly id: string | undefined
  readonly data: Record<string, unknown>
}

class Stream {
  readonly #reader: ReadableStreamDefaultReader<string>
  #text = ''

  constructor(response: Response) {
    if (!response.body) throw new Error('no body')
    this.#reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  }

  /** The next frame that has data. */
  async next(): Promise<Frame> {
    for (;;) {
      const end = this.#text.indexOf('\n\n')
      if (end >= 0) {
        const lines = this.#text.slice(0, end).split('\n')
        this.#text = this.#text.slice(end + 2)
        const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
        const data = field('data')
        if (data !== undefined) return { event: field('event'), id: field('id'), data: JSON.parse(data) }
        continue
      }
      const { value, done } = await this.#reader.read()
      if (done) throw new Error('ended')
      this.#text += value
    }
  }

  close(): Promise<void> {
    return this.#reader.cancel()
  }
}

async function push(harness: Harness, from: number, count: number): Promise<void> {
  const numbers = Array.from({ length: count }, (_, index) => from + index)
  const events = numbers.map((value) => ({ id: `${value}`, key: null, value, timestamp: 1 }))
  await harness.liveLog.append('c', 'lane', events, numbers)
}

test('events with ids; a browser that comes back goes on after the last one it saw', async () => {
  const harness = await startServer()
  open.push(harness)
  const stream = new Stream(await harness.fetch('/v1/live/c?filter=value%20%25%202%20%3D%3D%200'))
  expect(await stream.next()).toMatchObject({ event: 'subscribed', data: { recovered: true, offset: -1 } })
  await push(harness, 0, 3)
  expect(await stream.next()).toMatchObject({ event: undefined, data: { offset: 0, value: 0 } })
  const second = await stream.next()
  expect(second.data).toMatchObject({ offset: 2, value: 2 })
  await stream.close()
  await expect.poll(() => harness.metrics.text()).toContain('millrace_live_sessions{transport="sse"} 0')
  await push(harness, 3, 3)
  const again = new Stream(await harness.fetch('/v1/live/c', { headers: { 'last-event-id': second.id ?? '' } }))
  expect(await again.next()).toMatchObject({ event: 'subscribed', data: { recovered: true, offset: 2 } })
  expect([(await again.next()).data, (await again.next()).data]).toMatchObject([{ value: 3 }, { value: 4 }])
  await again.close()
  const lost = new Stream(await harness.fetch('/v1/live/c?since=other:2'))
  expect(await lost.next()).toMatchObject({ data: { recovered: false } })
  await lost.close()
})

test('what is wrong is a problem before the stream begins', async () => {
  const harness = await startServer()
  open.push(harness)
  for (const query of ['filter=value%20==', 'since=7', 'maxRate=-1', 'last=x', 'conflate=(', 'minScore=7&similar=a']) {
    const response = await harness.fetch(`/v1/live/c?${query}`)
    expect(response.status, query).toBe(400)
    expect(response.headers.get('content-type'), query).toBe('application/problem+json')
    await response.text()
  }
  expect(await harness.metrics.text()).toContain('millrace_live_sessions{transport="sse"} 0')
})

test('the id of an event', () => {
  expect(parseEventId('a:b:7')).toEqual({ epoch: 'a:b', offset: 7 })
  expect(parseEventId('a:-1')).toEqual({ epoch: 'a', offset: -1 })
  for (const wrong of ['', 'a', ':7', 'a:', 'a:1e3', 'a:-2']) expect(parseEventId(wrong), wrong).toBeUndefined()
})
