import { execFile, spawnSync } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lockData, openEmbeddedLiveLog, openEmbeddedLog } from '../../../connectors/embedded-log/index.ts'
import { Fatal, InvalidInput } from '../../../src/core/errors.ts'

const run = promisify(execFile)
const index = new URL('../../../dist/connectors/embedded-log/index.js', import.meta.url).href
const isRoot = process.getuid?.() === 0
const unshare = '/usr/bin/unshare'
/** A mount of its own that ends with the process; as root, or as a user where user namespaces are allowed. */
const ownMounts = isRoot ? ['--mount'] : ['--mount', '--map-root-user']
const canMount = spawnSync(unshare, [...ownMounts, 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()]).status === 0

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-log-'))
})
afterEach(async () => {
  await chmod(folder, 0o700)
  await rm(folder, { recursive: true })
})

test.runIf(canMount)(
  'a full disk refuses appends, keeps what was accepted, and goes on when there is room',
  async () => {
    const program = fileURLToPath(new URL('./full-disk-process.mjs', import.meta.url))
    const script = 'mount -t tmpfs -o size=40m tmpfs "$1" && exec "$2" "$3" "$1"'
    const args = [...ownMounts, 'sh', '-c', script, 'sh', folder, process.execPath, program]
    const { stdout, stderr } = await run(unshare, args)
    const { errors, accepted, stored, ...rest } = JSON.parse(stdout)
    expect(errors).toEqual(
      Array.from({ length: 2 }, () => [
        'Retryable',
        'disk_full',
        expect.stringContaining(`the disk that holds ${folder} is full`),
      ]),
    )
    expect(accepted).toBeGreaterThan(40)
    expect(stored).toBe(accepted)
    expect(rest).toEqual({ committedWhenFull: true, liveError: 'disk_full', live: 1 })
    // LMDB itself never ran into it.
    expect(stderr).toBe('')
  },
)

test.each(['openEmbeddedLog', 'openEmbeddedLiveLog', 'lockData'])(
  '%s in a folder that cannot be written says so',
  async (open) => {
    await chmod(folder, 0o555)
    const program = `import { ${open} } from '${index}'
    try { await ${open}('${folder}') } catch (error) { console.log(error.name, error.code, error.message, error.hint) }`
    // Permissions do not bind root.
    const user = isRoot ? { uid: 65_534, gid: 65_534 } : {}
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', program], user)
    expect(stdout).toMatch(/^Fatal data_read_only /)
    expect(stdout).toContain(folder)
    expect(stdout).toContain('write permission')
  },
)

test('a file that is no log says so', async () => {
  await writeFile(join(folder, 'events.mdb'), Buffer.alloc(100_000, 'x'))
  await expect(openEmbeddedLog(folder)).rejects.toMatchObject({ constructor: Fatal, code: 'data_unusable' })
})

test('a path below a file cannot be a data folder', async () => {
  const file = join(folder, 'file')
  await writeFile(file, '')
  await expect(lockData(join(file, 'data'))).rejects.toMatchObject({ code: 'ENOTDIR' })
  await expect(openEmbeddedLog(join(file, 'data'))).rejects.toMatchObject({ constructor: Fatal, code: 'data_unusable' })
})

test('a closed log refuses everything', async () => {
  const log = await openEmbeddedLog(folder)
  const live = await openEmbeddedLiveLog(folder)
  await log.ensureTopic('t')
  const waiting = log.grown(['t'], new AbortController().signal)
  await log.close()
  await live.close()
  await waiting
  await expect(log.append('t', [{ key: null, value: null }])).rejects.toMatchObject({ code: 'log_closed' })
  await expect(log.topics()).rejects.toMatchObject({ code: 'log_closed' })
  await expect(live.head('c')).rejects.toMatchObject({ code: 'log_closed' })
  await expect(live.append('c', 'l', [{ id: '', key: null, value: 1, timestamp: 0 }], [1])).rejects.toMatchObject({
    code: 'log_closed',
  })
  await log.close()
})

test('closing the log gives its partitions back, even of a consumer that no longer listens', async () => {
  const group = { topics: ['t'], group: 'g' }
  const first = await openEmbeddedLog(folder)
  await first.ensureTopic('t')
  const lanes = first.source(group).lanes(new AbortController().signal)[Symbol.asyncIterator]()
  await lanes.next()
  await first.close()
  const second = await openEmbeddedLog(folder)
  const stop = new AbortController()
  const began = Date.now()
  for await (const lane of second.source(group).lanes(stop.signal)) {
    expect(lane.partition).toEqual({ topic: 't', partition: 0 })
    stop.abort()
  }
  expect(Date.now() - began).toBeLessThan(5000)
  await second.close()
})

test('a channel name that no store could take is refused', async () => {
  const live = await openEmbeddedLiveLog(folder)
  await expect(live.append('x'.repeat(1001), 'l', [], [])).rejects.toBeInstanceOf(InvalidInput)
  await live.close()
})

test('two logs of one process on one folder see each other', async () => {
  const [first, second] = [await openEmbeddedLog(folder), await openEmbeddedLog(folder)]
  await first.ensureTopic('t')
  await Promise.all(
    Array.from({ length: 200 }, (_, n) =>
      (n % 2 ? first : second).append('t', [{ key: null, value: Buffer.from([n]) }]),
    ),
  )
  await first.close()
  const records = await second.read({ topic: 't', partition: 0 }, 0, { events: 1000, bytes: 1e6 })
  expect(new Set(records.map(({ value }) => value?.[0])).size).toBe(200)
  await second.close()
})
