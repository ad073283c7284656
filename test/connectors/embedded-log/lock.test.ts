import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lockData, readLock } from '../../../connectors/embedded-log/lock.ts'
import { thisProcess } from '../../../connectors/embedded-log/process.ts'

let folder: string
let path: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-lock-'))
  path = join(folder, 'millrace.lock')
})
afterEach(() => rm(folder, { recursive: true }))

const leftBy = (changes: object) =>
  writeFile(
    path,
    JSON.stringify({ ...thisProcess(), token: 't', started: '2026-01-01T00:00:00.000Z', beatMs: 5000, ...changes }),
  )

test('a folder has one process at a time, and the other one hears who it is', async () => {
  const lock = await lockData(folder)
  await expect(lockData(folder)).rejects.toMatchObject({
    code: 'data_in_use',
    message: expect.stringContaining(`process ${process.pid} (since`),
  })
  expect((await readLock(folder))?.address).toBeUndefined()
  await lock.update({ address: 'http://127.0.0.1:8080' })
  expect(await readLock(folder)).toMatchObject({ pid: process.pid, address: 'http://127.0.0.1:8080' })
  await expect(lockData(folder)).rejects.toMatchObject({
    message: expect.stringContaining(`process ${process.pid} at http://127.0.0.1:8080`),
    hint: expect.stringContaining('MILLRACE_DATA'),
  })
  await lock.release()
  await lock.release()
  expect(await readLock(folder)).toBeUndefined()
  const next = await lockData(folder, { address: 'http://localhost:1' })
  expect((await readLock(folder))?.address).toBe('http://localhost:1')
  // The first one's lock is gone for good.
  await lock.release()
  await lock.update({ address: 'http://wrong' })
  expect((await readLock(folder))?.address).toBe('http://localhost:1')
  await next.release()
  expect(await readdir(folder)).toEqual([])
})

test('the lock of a dead process is taken over', async () => {
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'close')
  await leftBy({ pid: child.pid, address: 'http://127.0.0.1:8080' })
  expect(await readLock(folder)).toBeUndefined()
  const lock = await lockData(folder)
  expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ pid: process.pid })
  await lock.release()
})

test.runIf(thisProcess().began !== null)('a pid that was given to another process since does not hold it', async () => {
  await leftBy({ began: '1' })
  expect(await readLock(folder)).toBeUndefined()
  await (await lockData(folder)).release()
})

test('a process whose pid cannot be seen holds its lock for as long as it touches it', async () => {
  await leftBy({ pid: 999_999_999, host: 'elsewhere', beatMs: 50 })
  const beat = setInterval(() => utimes(path, new Date(), new Date()).catch(() => {}), 20)
  await sleep(60)
  await expect(lockData(folder)).rejects.toMatchObject({ code: 'data_in_use', hint: expect.stringContaining(path) })
  expect(await readLock(folder)).toMatchObject({ pid: 999_999_999 })
  clearInterval(beat)
  const lock = await lockData(folder)
  expect(await readLock(folder)).toMatchObject({ pid: process.pid })
  await lock.release()
})

test.each(['', '{"pid":', '{"pid":"x"}', 'null'])('a damaged lock file is taken over: %j', async (content) => {
  await writeFile(path, content)
  expect(await readLock(folder)).toBeUndefined()
  await (await lockData(folder)).release()
})

test('of many that start at once on a stale lock, one gets the folder', async () => {
  for (let round = 0; round < 20; round++) {
    await leftBy({ pid: 999_999_999 })
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => lockData(folder)))
    const locks = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    expect(locks).toHaveLength(1)
    for (const result of results) if (result.status === 'rejected') expect(result.reason.code).toBe('data_in_use')
    await locks[0]?.release()
    expect(await readdir(folder)).toEqual([])
  }
})

test('a folder without a lock, or no folder at all, has no process', async () => {
  expect(await readLock(folder)).toBeUndefined()
  expect(await readLock(join(folder, 'missing'))).toBeUndefined()
})
