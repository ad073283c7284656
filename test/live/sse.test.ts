import { SignJWT } from 'jose'
import { afterEach, expect, test } from 'vitest'
import { parseEventId } from '../../src/live/encoding.ts'
import { closeCodes } from '../../src/live/protocol.ts'
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

  /** What is left of it. */
  async rest(): Promise<string> {
    for (;;) {
      const { value, done } = await this.#reader.read()
      if (done) return this.#text
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

test('a browser that is cut off before the first event goes on from where it had subscribed', async () => {
  const harness = await startServer()
  open.push(harness)
  await push(harness, 0, 3)
  const stream = new Stream(await harness.fetch('/v1/live/c'))
  const { id = '' } = await stream.next()
  expect(parseEventId(id)).toMatchObject({ offset: 2 })
  await stream.close()
  await push(harness, 3, 1)
  const again = new Stream(await harness.fetch('/v1/live/c', { headers: { 'last-event-id': id } }))
  expect(await again.next()).toMatchObject({ event: 'subscribed', data: { recovered: true } })
  expect(await again.next()).toMatchObject({ data: { value: 3 } })
  await again.close()
})

test('what was appended since a time; what the browser has seen goes before it', async () => {
  const harness = await startServer()
  open.push(harness)
  await push(harness, 0, 2)
  await new Promise((resolve) => setTimeout(resolve, 5))
  const time = Date.now()
  await push(harness, 2, 2)
  for (const given of [`${time}`, new Date(time).toISOString()]) {
    const stream = new Stream(await harness.fetch(`/v1/live/c?time=${given}`))
    expect(await stream.next()).toMatchObject({ data: { recovered: true, offset: 1 } })
    expect(await stream.next()).toMatchObject({ data: { value: 2 } })
    await stream.close()
  }
  const ago = new Stream(await harness.fetch('/v1/live/c?ago=60000'))
  expect(await ago.next()).toMatchObject({ data: { recovered: true, offset: -1 } })
  await ago.close()
  const { epoch } = await harness.liveLog.head('c')
  const headers = { 'last-event-id': `${epoch}:2` }
  const seen = new Stream(await harness.fetch(`/v1/live/c?time=${time}`, { headers }))
  expect(await seen.next()).toMatchObject({ data: { offset: 2 } })
  await seen.close()
  const wrong = await harness.fetch('/v1/live/c?time=yesterday')
  expect(await wrong.json()).toMatchObject({ status: 400, detail: expect.stringContaining('ISO 8601') })
})

test('when the server closes, the stream says when to come back', async () => {
  const harness = await startServer()
  open.push(harness)
  const stream = new Stream(await harness.fetch('/v1/live/c'))
  await stream.next()
  const [rest] = await Promise.all([stream.rest(), harness.live.close()])
  expect(rest).toMatch(/^retry: \d+\n\n$/)
})

test('as many streams as there may be; another is told when to come back', async () => {
  const harness = await startServer({ liveLimits: { sessions: 1 } })
  open.push(harness)
  const stream = new Stream(await harness.fetch('/v1/live/c'))
  const refused = await harness.fetch('/v1/live/c')
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
  expect(await refused.json()).toMatchObject({ code: 'overloaded' })
  await stream.close()
})

test('a stream sees what its token allows, and ends with it', async () => {
  const secret = 'a secret of the issuer, and of nobody else'
  const access = [{ subscribe: ['c'], rows: { tenant: 'tenant' } }]
  const harness = await startServer({ access: { jwt: { secret, clockTolerance: 0 }, access } })
  open.push(harness)
  const token = await new SignJWT({ sub: 'ann', tenant: 'a' })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime('2s')
    .sign(new TextEncoder().encode(secret))
  const headers = { authorization: `Bearer ${token}` }
  expect((await harness.fetch('/v1/live/d', { headers })).status).toBe(403)
  expect((await harness.fetch('/v1/live/c')).status).toBe(401)
  const stream = new Stream(await harness.fetch(`/v1/live/c?token=${token}`))
  await stream.next()
  const events = ['b', 'a'].map((tenant) => ({ id: tenant, key: null, value: { tenant }, timestamp: 1 }))
  await harness.liveLog.append('c', 'lane', events, [0, 1])
  expect(await stream.next()).toMatchObject({ data: { id: 'a' } })
  expect(await stream.rest()).toContain(`: closed ${closeCodes.tokenExpired}`)
  expect(JSON.stringify(harness.errors)).not.toContain(token)
})

test('a stream whose subscription ends is closed', async () => {
  const harness = await startServer()
  open.push(harness)
  const matches = Array.from({ length: 90 }, (_, n) => `value.text.matches('(a|b|c)*${n}d')`)
  const stream = new Stream(await harness.fetch(`/v1/live/c?filter=${encodeURIComponent(matches.join(' || '))}`))
  await stream.next()
  const value = { text: 'a'.repeat(10_000) }
  const events = Array.from({ length: 50 }, (_, n) => ({ id: `${n}`, key: null, value, timestamp: 1 }))
  await harness.liveLog.append('c', 'lane', events, [...events.keys()])
  expect(await stream.next()).toMatchObject({ event: 'ended', data: { code: 'expression_too_costly' } })
  expect(await stream.rest()).toContain(`: closed ${closeCodes.idle}`)
})
