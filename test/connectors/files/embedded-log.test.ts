import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { expect, it, onTestFinished } from 'vitest'
import { openEmbeddedLog } from '../../../connectors/embedded-log/index.ts'
import { FilesIntake } from '../../../connectors/files/intake.ts'
import { lineFiles } from '../../../connectors/files/lines.ts'
import type { FileReader } from '../../../connectors/files/reader.ts'
import { wholeFiles } from '../../../connectors/files/whole.ts'
import type { IntakeContext } from '../../../src/core/component.ts'
import type { LogRecord } from '../../../src/core/event.ts'
import type { EventLog } from '../../../src/core/event-log.ts'
import { Folder } from './support.ts'

const topic = 'docs.in'
const scope = 'docs/intake'

async function dataFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'millrace-log-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

/** One life of a process: opens the log, makes one pass over the files, and closes. Answers what the log holds then. */
async function life(data: string, folder: Folder, reader: FileReader): Promise<LogRecord[]> {
  const log = await openEmbeddedLog(data)
  try {
    await log.ensureTopic(topic, { partitions: 1 })
    const selection = { folder: folder.path, globs: ['**/*'], ignore: [] }
    const context: IntakeContext = {
      signal: new AbortController().signal,
      state: log.state(scope),
      append: (records, changes = []) => log.append(topic, records, { state: { scope, changes } }),
    }
    await new FilesIntake(selection, reader, context).run(false)
    return await readAll(log)
  } finally {
    await log.close()
  }
}

async function readAll(log: EventLog): Promise<LogRecord[]> {
  const all: LogRecord[] = []
  for (;;) {
    const next = await log.read({ topic, partition: 0 }, (all.at(-1)?.offset ?? -1) + 1, {
      events: 1_000,
      bytes: 10_000_000,
    })
    if (next.length === 0) return all
    all.push(...next)
  }
}

function keys(records: readonly LogRecord[]): string[] {
  return records.map(({ key, value }) => `${Buffer.from(key ?? []).toString()}${value === null ? ' gone' : ''}`)
}

it('remembers in the log itself what it has read, from life to life', async () => {
  const data = await dataFolder()
  const folder = await Folder.make({ 'a.md': 'a', 'b.md': 'b' })
  expect(keys(await life(data, folder, wholeFiles)).sort()).toEqual(['a.md', 'b.md'])
  expect(await life(data, folder, wholeFiles)).toHaveLength(2)
  await folder.remove('a.md')
  await folder.write('c.md', 'c')
  expect(keys(await life(data, folder, wholeFiles)).slice(2)).toEqual(['c.md', 'a.md gone'])
  expect(await life(data, folder, wholeFiles)).toHaveLength(4)
})

it('remembers that a file of lines vanished, though that leaves no record', async () => {
  const data = await dataFolder()
  const reader = lineFiles({ format: 'lines', delimiter: ',', follow: false })
  const folder = await Folder.make({ 'a.log': 'one\ntwo\n' })
  expect(await life(data, folder, reader)).toHaveLength(2)
  await folder.remove('a.log')
  expect(await life(data, folder, reader)).toHaveLength(2)
  await folder.write('a.log', 'one\ntwo\n')
  expect(await life(data, folder, reader)).toHaveLength(4)
})

it('takes in thousands of documents in little time, without holding up the process', async () => {
  const data = await dataFolder()
  const text = '# A heading\n\nSome text of a document.\n'.repeat(200)
  const names = Array.from({ length: 2_000 }, (_, index) => `packages/${index % 300}/docs/${index}.md`)
  const folder = await Folder.make(Object.fromEntries(names.map((name) => [name, `${text}${name}`])))
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  const start = performance.now()
  const records = await life(data, folder, wholeFiles)
  const took = performance.now() - start
  delay.disable()
  expect(new Set(keys(records)).size).toBe(2_000)
  expect(took).toBeLessThan(8_000)
  expect(delay.max / 1e6).toBeLessThan(1_000)
})
