import { getEventListeners } from 'node:events'
import { Hono } from 'hono'
import { expect, test } from 'vitest'
import { streamEvents } from '../../src/server/sse.ts'

test.each([
  ['ends', async () => undefined],
  [
    'fails',
    async () => {
      throw new Error('the log is closed')
    },
  ],
])('a stream whose source %s leaves nothing behind', async (_how, end) => {
  const closing = new AbortController().signal
  let given: AbortSignal | undefined
  const app = new Hono().get('/', (c) =>
    streamEvents(c, closing, async function* (signal) {
      given = signal
      yield { event: 'one', data: { n: 1 } }
      await end()
    }),
  )
  const response = await app.request('/')
  const text = await response.text().catch(() => 'broken')
  expect(text).toMatch(/^broken$|event: one\ndata: \{"n":1\}\n\n$/)
  expect(given?.aborted).toBe(true)
  expect(getEventListeners(closing, 'abort')).toEqual([])
})
