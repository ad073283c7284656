import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** Names one process, so that another one can tell later whether it is still there. */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks after boot at which the process began; guards against reuse of the pid. `null` where unknown. */
  readonly began: string | null
  /** Host, boot and pid namespace: pids mean something only to processes that share it. */
  readonly host: string
}

export function thisProcess(): ProcessIdentity {
  return processOf(process.pid)
}

/** The process that has this pid now. */
export function processOf(pid: number): ProcessIdentity {
  return { pid, began: began(pid), host: pidHost() }
}

/** Whether the process is there: `unknown` for one of another host or container, whose pids cannot be seen from here. */
export function liveness(identity: ProcessIdentity): 'alive' | 'dead' | 'unknown' {
  if (identity.host !== pidHost()) return 'unknown'
  try {
    process.kill(identity.pid, 0)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return 'dead'
  }
  if (isZombie(identity.pid)) return 'dead'
  const since = began(identity.pid)
  return identity.began !== null && since !== null && since !== identity.began ? 'dead' : 'alive'
}

export function isProcessIdentity(value: unknown): value is ProcessIdentity {
  return (
    typeof value === 'object' &&
    value !== null &&
    'pid' in value &&
    typeof value.pid === 'number' &&
    'began' in value &&
    (value.began === null || typeof value.began === 'string') &&
    'host' in value &&
    typeof value.host === 'string'
  )
}

/**
 * A process that has ended keeps its pid until its parent asks for it, which some never do: npm for a while, and what is
 * the first process of a container without an init. It is gone once none of its other threads is left.
 */
function isZombie(pid: number): boolean {
  if (statistics(pid)?.[0] !== 'Z') return false
  return (attempt(() => readdirSync(`/proc/${pid}/task`))?.length ?? 0) <= 1
}

/** Field 22 of proc_pid_stat(5). */
function began(pid: number): string | null {
  return statistics(pid)?.[19] ?? null
}

/** proc_pid_stat(5) from field 3 on: the command in field 2 may hold blanks and brackets. */
function statistics(pid: number): string[] | undefined {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, 'latin1'))
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
}

let knownHost: string | undefined
function pidHost(): string {
  knownHost ??= [
    hostname(),
    attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()) ?? '',
    attempt(() => readlinkSync('/proc/self/ns/pid')) ?? '',
  ].join(' ')
  return knownHost
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
