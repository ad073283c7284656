import { chmod, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { wholeFiles } from '../../../connectors/files/whole.ts'
import { Folder } from './support.ts'

function texts(events: readonly { key: string | null; value: unknown }[]): Record<string, unknown> {
  return Object.fromEntries(
    events.map(({ key, value }) => [
      key,
      typeof value === 'object' && value !== null && 'text' in value ? value.text : value,
    ]),
  )
}

describe('one pass', () => {
  it('makes an event of each file, keyed by its path', async () => {
    const folder = await Folder.make({ 'a.md': '# A', 'docs/deep/b.md': '\ufeffwith a mark', 'c.png': 'x' })
    const events = (await folder.pass(wholeFiles, ['**/*.md'])).toSorted((a, b) =>
      (a.key ?? '').localeCompare(b.key ?? ''),
    )
    expect(events).toEqual([
      { key: 'a.md', value: { path: 'a.md', name: 'a.md', text: '# A', bytes: 3, modified: expect.any(Number) } },
      { key: 'docs/deep/b.md', value: expect.objectContaining({ name: 'b.md', text: 'with a mark' }) },
    ])
  })

  it('leaves out what is to be ignored', async () => {
    const folder = await Folder.make({ 'a.md': 'a', 'drafts/b.md': 'b', 'c.md': 'c' })
    expect(texts(await folder.pass(wholeFiles, ['**/*.md', '!c.md'], ['drafts/**']))).toEqual({ 'a.md': 'a' })
  })

  it('remembers what it has read: changes, new files and vanished ones follow, and nothing else', async () => {
    const folder = await Folder.make({ 'a.md': 'a', 'b.md': 'b', 'c.md': 'c', 'd.md': 'd' })
    await folder.pass(wholeFiles)
    expect(await folder.pass(wholeFiles)).toEqual([])
    await folder.write('a.md', 'changed')
    await folder.remove('b.md')
    await folder.write('e.md', 'e')
    await utimes(join(folder.path, 'c.md'), new Date(), new Date(Date.now() + 10_000))
    await folder.move('d.md', 'moved.md')
    expect(texts(await folder.pass(wholeFiles))).toEqual({
      'a.md': 'changed',
      'b.md': null,
      'd.md': null,
      'e.md': 'e',
      'moved.md': 'd',
    })
    expect(await folder.pass(wholeFiles)).toEqual([])
    expect(texts(await folder.pass(wholeFiles, ['a.md']))).toEqual({ 'e.md': null, 'moved.md': null, 'c.md': null })
  })

  it('stores what it remembers with what it read: nothing is lost or doubled when the log fails', async () => {
    const names = Array.from({ length: 1_000 }, (_, index) => `${index}.md`)
    const folder = await Folder.make(Object.fromEntries(names.map((name) => [name, `text of ${name}`])))
    let appends = 0
    folder.log.beforeAppend = () => {
      if (++appends % 2 === 0) throw new Error('the log is down')
    }
    let passes = 0
    for (; folder.log.records.length < 1_000 && passes < 50; passes++)
      await folder.pass(wholeFiles).catch((error: unknown) => expect(String(error)).toContain('the log is down'))
    expect(passes).toBeGreaterThan(1)
    await folder.pass(wholeFiles)
    expect(
      folder.log
        .events()
        .map(({ key }) => key)
        .sort(),
    ).toEqual(names.sort())
  })

  it('appends in groups', async () => {
    const folder = await Folder.make(Object.fromEntries(Array.from({ length: 600 }, (_, n) => [`${n}.md`, 'x'])))
    await folder.pass(wholeFiles)
    expect(folder.log.appends.length).toBeLessThan(6)
    expect(Math.max(...folder.log.appends)).toBeLessThanOrEqual(256 + 16)
  })

  it('hands what is no text on as it is, to become a dead letter', async () => {
    const latin = Buffer.from([0x22, 0x63, 0xe9, 0x22])
    const folder = await Folder.make({ 'bad.md': latin, 'good.md': 'good' })
    await folder.pass(wholeFiles)
    const [bad, good] = folder.log.records.toSorted((a, b) => Buffer.compare(a.key ?? latin, b.key ?? latin))
    expect(bad?.value).toEqual(latin)
    expect(Buffer.from(bad?.headers?.problem ?? []).toString()).toBe('the file is not UTF-8 text')
    expect(Buffer.from(good?.key ?? []).toString()).toBe('good.md')
    expect(folder.log.records).toHaveLength(2)
    expect(await folder.pass(wholeFiles)).toEqual([])
  })

  it.skipIf(process.getuid?.() === 0)('reports a file that it may not read, and reads it once it may', async () => {
    const folder = await Folder.make({ 'secret.md': 'secret', 'open.md': 'open' })
    await chmod(join(folder.path, 'secret.md'), 0)
    const events = texts(await folder.pass(wholeFiles))
    expect(events['open.md']).toBe('open')
    expect(events['secret.md']).toContain('EACCES')
    await chmod(join(folder.path, 'secret.md'), 0o600)
    expect(texts(await folder.pass(wholeFiles))).toEqual({ 'secret.md': 'secret' })
  })
})

describe('following', () => {
  it('sees changed, new and vanished files within moments', async () => {
    const folder = await Folder.make({ 'a.md': 'a', 'docs/b.md': 'b' })
    folder.follow(wholeFiles, ['**/*.md'])
    await folder.log.until(() => folder.log.records.length === 2)
    folder.news()
    const start = performance.now()
    await folder.write('a.md', 'changed')
    await folder.log.until(() => folder.log.records.length === 3)
    expect(performance.now() - start).toBeLessThan(900)
    await folder.remove('docs/b.md')
    await folder.log.until(() => folder.log.records.length === 4)
    await folder.write('new/folder/c.md', 'c')
    await folder.log.until(() => folder.log.records.length === 5)
    expect(texts(folder.news())).toEqual({ 'a.md': 'changed', 'docs/b.md': null, 'new/folder/c.md': 'c' })
  })

  it('sees a folder vanish that was not there all the time either', async () => {
    const folder = await Folder.make()
    folder.follow(wholeFiles, ['later/**/*.md'])
    await folder.write('later/a.md', 'a')
    await folder.log.until(() => folder.log.records.length === 1)
    await folder.remove('later')
    await folder.log.until(() => folder.log.records.length === 2)
    expect(folder.news().at(-1)).toEqual({ key: 'later/a.md', value: null })
  })

  it('ends at once when it is told to', async () => {
    const folder = await Folder.make({ 'a.md': 'a' })
    const following = folder.follow(wholeFiles)
    await folder.log.until(() => folder.log.records.length === 1)
    const start = performance.now()
    await following.stop()
    expect(performance.now() - start).toBeLessThan(500)
  })
})
