import type { AuditEntry } from '../../src/core/audit.ts'
import { Unauthenticated } from '../../src/core/errors.ts'
import type { LiveEvent, LiveLog } from '../../src/core/live-log.ts'
import type { Presence } from '../../src/core/presence.ts'
import { type Principal, type RowFilter, unrestricted } from '../../src/core/principal.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { Live, type LiveLimits, type Session, type Transport } from '../../src/live/index.ts'
import { FakeEmbedder } from '../server/fakes.ts'
import { MemoryLiveLog } from './memory-live-log.ts'

/** A client in the same process: its frames are handed over as text. A principal of null has yet to show a token. */
export class DirectClient implements Transport {
  readonly received: Record<string, unknown>[] = []
  readonly session: Session
  closed: { code: number; reason: string } | undefined
  buffered = 0
  readonly #waiting = new Set<() => void>()

  constructor(live: Live, principal: Principal | null = unrestricted('local'), address?: string) {
    this.session = live.open(this, { principal: principal ?? undefined, address })
  }

  send(frame: Uint8Array, taken: () => void): void {
    this.received.push(JSON.parse(new TextDecoder().decode(frame)))
    taken()
    this.#wake()
  }

  close(code: number, reason: string): void {
    this.closed = { code, reason }
    this.#wake()
  }

  ask(message: Record<string, unknown>): Promise<Record<string, unknown>> {
    this.session.receive(JSON.stringify(message))
    return this.next(({ id }) => id === message.id)
  }

  /** The first message that fits, taken out; waits for it. */
  async next(fits: (message: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
    for (;;) {
      const index = this.received.findIndex(fits)
      const [found] = index < 0 ? [] : this.received.splice(index, 1)
      if (found) return found
      if (this.closed) throw new Error(`closed with ${this.closed.code} ${this.closed.reason}`)
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  ofType(type: string): Promise<Record<string, unknown>> {
    return this.next((message) => message.type === type)
  }

  async whenClosed(): Promise<{ code: number; reason: string }> {
    while (!this.closed) await new Promise<void>((resolve) => this.#waiting.add(resolve))
    return this.closed
  }

  /** Everything that came as an event, in order. */
  get events(): { id: string; offset: number; value: LiveEvent['value'] }[] {
    return this.received.flatMap(({ type, events }) => (type === 'events' && Array.isArray(events) ? events : []))
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

export interface Rights {
  readonly id?: string
  readonly expires?: number | null
  readonly may?: readonly string[]
  readonly rows?: RowFilter | undefined
}

/** May subscribe and publish to the names in `may`, and sees `rows` of them. */
export function principal({ id = 'ann', expires = null, may = ['c'], rows }: Rights): Principal {
  return { id, claims: {}, expires, may: (_action, name) => may.includes(name), rows: () => rows }
}

export interface Scene extends AsyncDisposable {
  readonly live: Live
  readonly log: LiveLog
  readonly embedder: FakeEmbedder
  readonly audit: AuditEntry[]
  /** Those who are let in with a token, by it. */
  readonly tokens: Map<string, Principal>
  readonly published: unknown[]
}

export function scene(
  limits: Partial<LiveLimits> = {},
  log: LiveLog = new MemoryLiveLog(),
  presence?: () => Promise<Presence>,
): Scene {
  const embedder = new FakeEmbedder()
  const audit: AuditEntry[] = []
  const tokens = new Map<string, Principal>()
  const published: unknown[] = []
  const live = new Live({
    log: async () => log,
    embedder: async () => embedder,
    expressions: createExpressions({ bounded: true }),
    logger: { warn: () => undefined, error: () => undefined },
    publish: async (topic, events) => {
      published.push(...events)
      return events.map((_, offset) => ({ topic, partition: 0, offset }))
    },
    authenticate: async (token) => {
      const known = tokens.get(token)
      if (known) return known
      throw new Unauthenticated({ code: 'token_forged', message: 'The token is not valid.' })
    },
    audit: (entry) => audit.push(entry),
    limits,
    presence,
  })
  return { live, log, embedder, audit, tokens, published, [Symbol.asyncDispose]: () => live.close() }
}
