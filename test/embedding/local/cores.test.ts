import { mkdir, writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { availableCores, controlGroupCores } from '../../../src/embedding/local/cores.ts'
import { temporaryFolder } from '../support.ts'

async function machine(files: Readonly<Record<string, string>>): Promise<string> {
  const root = await temporaryFolder()
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), `${content}\n`)
  }
  return root
}

const unlimited = Number.POSITIVE_INFINITY

it.each<[string, Readonly<Record<string, string>>, number]>([
  ['nothing to read', {}, unlimited],
  ['no limit', { 'proc/self/cgroup': '0::/', 'sys/fs/cgroup/cpu.max': 'max 100000' }, unlimited],
  ['a container', { 'proc/self/cgroup': '0::/', 'sys/fs/cgroup/cpu.max': '150000 100000' }, 1.5],
  [
    'a service in a slice with a lower limit',
    {
      'proc/self/cgroup': '0::/app.slice/millrace.service',
      'sys/fs/cgroup/app.slice/cpu.max': '200000 100000',
      'sys/fs/cgroup/app.slice/millrace.service/cpu.max': '400000 100000',
    },
    2,
  ],
  [
    'version 1, seen from within a container',
    {
      'proc/self/cgroup': '12:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n0::/',
      'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '300000',
      'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000',
    },
    3,
  ],
  [
    'version 1, without a limit',
    {
      'proc/self/cgroup': '4:cpu,cpuacct:/',
      'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1',
      'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000',
    },
    unlimited,
  ],
])('reads the limit of %s', async (_, files, cores) => {
  expect(controlGroupCores(await machine(files))).toBe(cores)
})

it('is never less than one, nor more than there are', () => {
  expect(availableCores()).toBeGreaterThanOrEqual(1)
  expect(availableCores()).toBeLessThanOrEqual(availableParallelism())
})
