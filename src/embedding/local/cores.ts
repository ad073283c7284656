import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, posix } from 'node:path'

/**
 * Cores that this process may use: those that it may run on, and no more than the limits of its control groups, which
 * containers are given and which Node does not look at before version 22. At least 1.
 */
export function availableCores(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(controlGroupCores('/'))))
}

/** What the control groups allow, of either version; a fraction, or infinity. `root` is where `proc` and `sys` are. */
export function controlGroupCores(root: string): number {
  const groups = read(join(root, 'proc/self/cgroup')).split('\n')
  const limits = groups.flatMap((line) => {
    const [, controllers = '', path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (path === undefined) return []
    if (controllers === '') return withParents(path).map((group) => unifiedLimit(join(root, 'sys/fs/cgroup', group)))
    if (!controllers.split(',').includes('cpu')) return []
    return withParents(path).map((group) => legacyLimit(join(root, 'sys/fs/cgroup/cpu', group)))
  })
  return Math.min(Number.POSITIVE_INFINITY, ...limits)
}

/** A group and the groups that it is in; any of them may be limited. A container often sees its own as the root. */
function withParents(path: string): string[] {
  const parent = posix.dirname(path)
  return parent === path ? [path] : [path, ...withParents(parent)]
}

function unifiedLimit(folder: string): number {
  const [quota, period] = read(join(folder, 'cpu.max')).split(' ').map(Number)
  return ratio(quota, period)
}

function legacyLimit(folder: string): number {
  return ratio(Number(read(join(folder, 'cpu.cfs_quota_us'))), Number(read(join(folder, 'cpu.cfs_period_us'))))
}

/** Infinite for what is no limit: `max`, -1, or no file at all. */
function ratio(quota = Number.NaN, period = Number.NaN): number {
  return quota > 0 && period > 0 ? quota / period : Number.POSITIVE_INFINITY
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}
