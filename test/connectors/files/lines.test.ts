import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { splitLines } from '../../../connectors/files/line-splitter.ts'
import { lineFiles } from '../../../connectors/files/lines.ts'
import { Folder } from './support.ts'

const once = { delimiter: ',', follow: false }
const lines = lineFiles({ ...once, format: 'lines' })
const ndjson = lineFiles({ ...once, format: 'ndjson' })
const csv = lineFiles({ ...once, format: 'csv' })

function headers(folder: Folder): Record<string, string>[] {
  return folder.log.records.map((record) =>
    Object.fromEntries(
      Object.entries(record.headers ?? {}).map(([name, bytes]) => [name, Buffer.from(bytes).toString()]),
    ),
  )
}

describe('lines', () => {
  it('makes an event of each line, and goes on where it stood', async () => {
    const folder = await Folder.make({ 'a.log': '\ufeffone\r\ntwo\n\n  \nthree' })
    expect(await folder.pass(lines)).toEqual([
      { key: 'a.log', value: { path: 'a.log', line: 1, text: 'one' } },
      { key: 'a.log', value: { path: 'a.log', line: 2, text: 'two' } },
      { key: 'a.log', value: { path: 'a.log', line: 5, text: 'three' } },
    ])
    expect(await folder.pass(lines)).toEqual([])
    await folder.write('a.log', '\nfour\n', 'a')
    expect(await folder.pass(lines)).toEqual([{ key: 'a.log', value: { path: 'a.log', line: 6, text: 'four' } }])
  })

  it('starts over when a file was cut or replaced', async () => {
    const folder = await Folder.make({ 'a.log': 'one\ntwo\n', 'b.log': 'one\n' })
    await folder.pass(lines)
    await folder.write('a.log', 'new\n')
    await folder.write('b.log', 'other\nlonger than before\n')
    const values = (await folder.pass(lines)).map(({ value }) => value)
    expect(values).toContainEqual({ path: 'a.log', line: 1, text: 'new' })
    expect(values).toContainEqual({ path: 'b.log', line: 2, text: 'longer than before' })
    expect(values).toHaveLength(3)
  })

  it('forgets a file that vanished, and reads it anew when it is back', async () => {
    const folder = await Folder.make({ 'a.log': 'one\n' })
    await folder.pass(lines)
    await folder.remove('a.log')
    expect(await folder.pass(lines)).toEqual([])
    await folder.write('a.log', 'one\n')
    expect(await folder.pass(lines)).toHaveLength(1)
  })

  it('skips a line that is far too long, and reports its beginning', async () => {
    const long = Buffer.alloc(20 * 1024 * 1024, 'x')
    const folder = await Folder.make({ 'a.log': Buffer.concat([Buffer.from('one\n'), long, Buffer.from('\ntwo\n')]) })
    const events = await folder.pass(lines)
    expect(events.map(({ value }) => value)).toEqual([
      { path: 'a.log', line: 1, text: 'one' },
      'x'.repeat(1024),
      { path: 'a.log', line: 3, text: 'two' },
    ])
    expect(headers(folder)[1]).toMatchObject({ file: 'a.log', line: '2', problem: expect.stringContaining('longer') })
  })

  it('hands a line that is no text on as it is', async () => {
    const folder = await Folder.make({ 'a.log': Buffer.from([0xff, 0x0a, 0x61, 0x0a]) })
    await folder.pass(lines)
    expect(folder.log.records[0]?.value).toEqual(Buffer.from([0xff]))
    expect(folder.log.events()[1]?.value).toEqual({ path: 'a.log', line: 2, text: 'a' })
  })

  it('loses and doubles nothing when the log fails or the process ends, while the file grows', async () => {
    const folder = await Folder.make({ 'a.log': '' })
    const texts: string[] = []
    for (let round = 0; round < 40; round++) {
      const added = Array.from({ length: 300 }, (_, index) => `line ${round * 300 + index} ${'x'.repeat(round)}`)
      texts.push(...added)
      await folder.write('a.log', `${added.join('\n')}\n`, 'a')
      folder.log.beforeAppend = () => {
        if (round % 3 === 1) throw new Error('the log is down')
      }
      await folder.pass(lines).catch(() => undefined)
    }
    folder.log.beforeAppend = () => undefined
    await folder.pass(lines)
    const expected = texts.map((text, index) => ({ path: 'a.log', line: index + 1, text }))
    expect(folder.log.events().map(({ value }) => value)).toEqual(expected)
  })
})

describe('following', () => {
  it('takes a line when its end is there', async () => {
    const folder = await Folder.make({ 'a.log': 'one\ntw' })
    folder.follow(lineFiles({ delimiter: ',', format: 'lines', follow: true }))
    await folder.log.until(() => folder.log.records.length === 1)
    await folder.write('a.log', 'o\nthree\n', 'a')
    await folder.log.until(() => folder.log.records.length === 3)
    expect(folder.news().map(({ value }) => value)).toMatchObject([{ text: 'one' }, { text: 'two' }, { text: 'three' }])
  })

  it('takes the last line of a file that has long been as it is, and of complete JSON', async () => {
    const folder = await Folder.make({
      'old.log': 'one\ntwo',
      'new.ndjson': '{"a":1}\n{"b":{"c":2}}',
      'part.ndjson': '{"a":{}',
    })
    const past = new Date(Date.now() - 60_000)
    await utimes(join(folder.path, 'old.log'), past, past)
    folder.follow(lineFiles({ delimiter: ',', format: 'ndjson', follow: true }))
    await folder.log.until(() => folder.log.records.length === 4)
    expect(folder.news().map(({ value }) => value)).toEqual(expect.arrayContaining(['two', { b: { c: 2 } }]))
  })
})

describe('ndjson', () => {
  it('hands each line on, with its place', async () => {
    const folder = await Folder.make({ 'a.ndjson': '{"n":1}\n\n[2]\nno json\n' })
    expect((await folder.pass(ndjson)).map(({ value }) => value)).toEqual([{ n: 1 }, [2], 'no json'])
    expect(headers(folder)[2]).toEqual({ file: 'a.ndjson', line: '4' })
  })
})

describe('csv', () => {
  it('makes an object of each row, by the names of the first', async () => {
    const folder = await Folder.make({
      'a.csv': '\ufeffid,name,note\r\n1,"Meier, Ulm","said ""hi""\nand left"\r\n\r\n2,Ö,\r\n',
    })
    expect((await folder.pass(csv)).map(({ value }) => value)).toEqual([
      { id: '1', name: 'Meier, Ulm', note: 'said "hi"\nand left' },
      { id: '2', name: 'Ö', note: '' },
    ])
    expect(headers(folder)).toEqual([
      { file: 'a.csv', line: '2' },
      { file: 'a.csv', line: '5' },
    ])
    await folder.write('a.csv', '3,x,y\n', 'a')
    expect((await folder.pass(csv)).map(({ value }) => value)).toEqual([{ id: '3', name: 'x', note: 'y' }])
  })

  it('hands a row that does not fit on as it is, and goes on', async () => {
    const folder = await Folder.make({ 'a.csv': 'id;name\n1;a\n7\n2;"b" x\n3;c\n' })
    const values = (await folder.pass(lineFiles({ format: 'csv', delimiter: ';', follow: false }))).map(
      ({ value }) => value,
    )
    expect(values).toEqual([
      { id: '1', name: 'a' },
      'the row has 1 values for 2 columns: 7',
      '2;"b" x',
      { id: '3', name: 'c' },
    ])
  })

  it('reads a large file at a good pace', async () => {
    const rows = Array.from({ length: 50_000 }, (_, index) => `${index},name ${index},some text`)
    const folder = await Folder.make({ 'a.csv': `id,name,text\n${rows.join('\n')}\n` })
    const start = performance.now()
    expect(await folder.pass(csv)).toHaveLength(50_000)
    expect(performance.now() - start).toBeLessThan(10_000)
  })
})

describe('splitLines', () => {
  it('gives back all bytes and counts all line ends, wherever they are cut', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '"', '\n', '\r', ',') })
    fc.assert(
      fc.property(text, fc.boolean(), (content, quoted) => {
        const bytes = Buffer.from(content)
        const { lines: found, used, count } = splitLines(bytes, 0, quoted)
        const complete = bytes.subarray(0, used).toString()
        expect(count).toBe(complete.split('\n').length - 1)
        const joined = found.map((line) => line.bytes.toString()).join('\n')
        expect(joined.replaceAll('\r', '')).toBe(complete.replace(/\n$/, '').replaceAll('\r', ''))
        if (!quoted) expect(bytes.subarray(used).includes('\n')).toBe(false)
        else for (const line of found) expect((line.bytes.toString().split('"').length - 1) % 2).toBe(0)
      }),
    )
  })
})
