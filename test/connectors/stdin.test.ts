import { PassThrough, Readable } from 'node:stream'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { readLines, stdin } from '../../connectors/stdin.ts'
import { FakeIntakeContext } from './fake-intake-context.ts'

async function read(chunks: Iterable<Buffer | string>, format: 'lines' | 'ndjson' = 'lines') {
  const log = new FakeIntakeContext()
  await readLines(Readable.from(chunks, { objectMode: true }), format, log.context(new AbortController().signal))
  return log.events().map(({ value }) => value)
}

it('makes an event of each line, whatever the chunks', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string({ unit: 'grapheme' })), fc.array(fc.nat({ max: 20 })), async (texts, cuts) => {
      const lines = texts.map((text) => text.replaceAll(/[\r\n]/g, '|'))
      const bytes = Buffer.from(lines.join('\n'))
      const chunks: Buffer[] = []
      let at = 0
      for (const cut of cuts) {
        chunks.push(bytes.subarray(at, at + cut))
        at += cut
      }
      chunks.push(bytes.subarray(at))
      const expected = lines
        .map((text, index) => ({ line: index + 1, text }))
        .filter(({ text }) => !/^[ \t]*$/.test(text))
      expect(await read(chunks)).toEqual(expected)
    }),
  )
})

it('hands JSON lines on as they are', async () => {
  expect(await read(['{"a":1}\r\n\n', '[2]\nno json\n"last"'], 'ndjson')).toEqual([{ a: 1 }, [2], 'no json', 'last'])
})

it('cuts what never ends', async () => {
  const values = await read(Array.from({ length: 20 }, () => Buffer.alloc(1024 * 1024, 'x')))
  expect(values).toHaveLength(3)
})

it('reads no further while an append is under way', async () => {
  const log = new FakeIntakeContext()
  let made = 0
  const input = Readable.from(
    (function* () {
      while (made < 1_000) yield Buffer.from(`${made++}\n`)
    })(),
    { highWaterMark: 1 },
  )
  let resume: () => void = () => undefined
  log.beforeAppend = () => (log.appends.length === 5 ? new Promise<void>((done) => (resume = done)) : undefined)
  const reading = readLines(input, 'lines', log.context(new AbortController().signal))
  await log.until(() => log.appends.length === 5)
  await new Promise((done) => setTimeout(done, 50))
  expect(made).toBeLessThan(20)
  resume()
  await reading
  expect(log.records).toHaveLength(1_000)
})

it('ends when it is told to, in the middle of waiting', async () => {
  const log = new FakeIntakeContext()
  const stop = new AbortController()
  const input = new PassThrough()
  input.write('a\nb')
  const reading = readLines(input, 'lines', log.context(stop.signal))
  await log.until(() => log.records.length === 1)
  stop.abort()
  await reading
  expect(log.records).toHaveLength(1)
})

it('goes on where it was when it is told to end and then to begin again, or when an append failed', async () => {
  const log = new FakeIntakeContext()
  const input = new PassThrough()
  const begin = () => {
    const stop = new AbortController()
    return { stop, reading: readLines(input, 'lines', log.context(stop.signal)) }
  }
  const first = begin()
  input.write('a\nb')
  await log.until(() => log.records.length === 1)
  first.stop.abort()
  await first.reading
  input.write('c\n')
  log.beforeAppend = () => Promise.reject(new Error('the log is away'))
  await expect(begin().reading).rejects.toThrow('the log is away')
  log.beforeAppend = () => undefined
  const last = begin()
  input.end('d')
  await last.reading
  expect(log.events().map(({ value }) => value)).toEqual([
    { line: 1, text: 'a' },
    { line: 2, text: 'bc' },
    { line: 3, text: 'd' },
  ])
})

it('throws when the input fails', async () => {
  const input = new PassThrough()
  input.destroy(new Error('broken pipe'))
  const log = new FakeIntakeContext()
  await expect(readLines(input, 'lines', log.context(new AbortController().signal))).rejects.toThrow('broken pipe')
})

it('is a source', () => {
  expect(stdin).toMatchObject({ kind: 'source', name: 'stdin', main: 'format' })
  expect(stdin.options.parse({})).toEqual({ format: 'lines' })
})
