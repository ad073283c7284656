import { sleep } from '../support/api.ts'
import type { Fleet } from './fleet.ts'

/** A server that can be taken away while it is in use. */
export interface Restartable {
  /** Ends it as a crash would. */
  kill(): Promise<void>
  /** Starts it again on the same data. */
  restart(): Promise<void>
}

export interface ChaosOptions {
  readonly fleet: Fleet
  readonly sessionTimeoutMs: number
  readonly servers: Readonly<Record<string, Restartable>>
  readonly log: (line: string) => void
}

export type Trouble = 'kill' | 'zombie' | 'add' | 'remove' | `restart ${string}`

/** What goes wrong, one after the other, in a random order that begins with each kind once. Answers how often each came. */
export async function chaos(options: ChaosOptions, signal: AbortSignal): Promise<Record<string, number>> {
  const kinds: Trouble[] = [
    'kill',
    'zombie',
    'add',
    'kill',
    'remove',
    ...Object.keys(options.servers).map((name) => `restart ${name}` as const),
  ]
  const done: Record<string, number> = {}
  for (let round = 0; !signal.aborted || round < kinds.length; round++) {
    const kind = kinds[round < kinds.length ? round : Math.floor(Math.random() * kinds.length)] ?? 'kill'
    await sleep(500 + Math.random() * 2_500)
    options.log(kind)
    await make(kind, options)
    done[kind] = (done[kind] ?? 0) + 1
  }
  return done
}

async function make(kind: Trouble, { fleet, servers, sessionTimeoutMs }: ChaosOptions): Promise<void> {
  const { names } = fleet
  const name = names[Math.floor(Math.random() * names.length)] ?? ''
  if (kind === 'kill') await fleet.kill(name)
  else if (kind === 'add') await fleet.add()
  else if (kind === 'remove') await (names.length > 2 ? fleet.remove(name) : fleet.add())
  else if (kind === 'zombie') {
    fleet.pause(name)
    await sleep(sessionTimeoutMs * 1.3)
    fleet.resume(name)
  } else {
    const server = servers[kind.slice('restart '.length)]
    await server?.kill()
    await server?.restart()
  }
}
