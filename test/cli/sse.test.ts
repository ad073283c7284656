import fc from 'fast-check'
import { expect, test } from 'vitest'
import { serverSentEvents } from '../../src/cli/sse.ts'

async function parse(chunks: readonly Uint8Array[]) {
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk)
      controller.close()
    },
  })
  const events = []
  for await (const event of serverSentEvents(stream)) events.push(event)
  return events
}

const text = ': hello\n\nevent: gap\r\ndata: {"a":\r\ndata: "ü"}\r\n\r\nid: 5\ndata:x\n\nevent: unfinished\ndata: y\n'

test('reads types, many lines, comments and every kind of line end', async () => {
  expect(await parse([Buffer.from(text)])).toEqual([
    { type: 'gap', data: '{"a":\n"ü"}' },
    { type: 'message', data: 'x' },
  ])
})

test('reads the same however the stream is cut', async () => {
  const bytes = Buffer.from(text)
  const whole = await parse([bytes])
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 8 }), async (cuts) => {
      const ends = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
      const chunks = ends.slice(1).map((end, index) => bytes.subarray(ends[index], end))
      expect(await parse(chunks)).toEqual(whole)
    }),
  )
})
