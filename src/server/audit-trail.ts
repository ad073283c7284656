import { setTimeout as sleep } from 'node:timers/promises'
import type { Audit, AuditEntry } from '../core/audit.ts'
import { errorMessage } from '../core/errors.ts'
import type { JsonObject, NewRecord } from '../core/event.ts'
import type { EventLog, TopicConfig } from '../core/event-log.ts'
import type { Log } from '../telemetry/index.ts'

export interface AuditTrailOptions {
  readonly log: () => Promise<EventLog>
  /** Made if it is not there. */
  readonly topic: string
  readonly config?: Partial<TopicConfig> | undefined
  /** Told when the log takes no entries, and when it does again. */
  readonly logger: Pick<Log, 'warn' | 'info'>
  /** How long entries are collected for one append, milliseconds. Default 200. */
  readonly batchMs?: number | undefined
  /** Most different entries that wait. Default 10,000. */
  readonly waiting?: number | undefined
  /** How long to wait after an append that has failed, milliseconds. Default 1,000. */
  readonly retryMs?: number | undefined
  /** How long `close` tries to store what waits, milliseconds. Default 5,000. */
  readonly closeMs?: number | undefined
}

export interface AuditTrail {
  readonly audit: Audit
  /** Stores what waits; nothing is taken afterwards. Says in the log what could not be stored. */
  close(): Promise<void>
}

/** The same entry, so many times since one append. */
interface Counted {
  readonly entry: AuditEntry
  readonly first: number
  last: number
  count: number
}

interface Lost {
  readonly first: number
  count: number
}

/** Names come from clients, also from those that are refused. */
const longestName = 256
const encoder = new TextEncoder()

/**
 * Writes entries to a topic. Equal ones that come between two appends become one event with a `count`, so that who asks very
 * often fills neither the topic nor the queue. While the log takes nothing they wait; when too many wait, later ones are
 * left out, since the first ones tell how it began, and an event says how many. An append that may or may not have been
 * stored is made again: an entry can be there twice, never not at all.
 */
export function createAuditTrail(options: AuditTrailOptions): AuditTrail {
  const trail = new Trail(options)
  return { audit: (entry) => trail.take(entry), close: () => trail.close() }
}

class Trail {
  readonly #options: AuditTrailOptions
  readonly #mostWaiting: number
  readonly #closing = new AbortController()
  readonly #late = new AbortController()
  #waiting = new Map<string, Counted>()
  /** Of the batch that is being appended. */
  #appending = 0
  #lost: Lost | undefined
  #writing: Promise<void> | undefined
  #isTopicThere = false
  #isClosed = false

  constructor(options: AuditTrailOptions) {
    this.#options = options
    this.#mostWaiting = options.waiting ?? 10_000
  }

  take(given: AuditEntry): void {
    if (this.#isClosed) return
    const { action, name, principal, address, outcome, code } = given
    const entry = { action, name: name?.slice(0, longestName), principal, address, outcome, code }
    const text = JSON.stringify(Object.values(entry))
    const now = Date.now()
    const same = this.#waiting.get(text)
    if (same) {
      same.last = now
      same.count++
    } else if (this.#waiting.size + this.#appending < this.#mostWaiting) {
      this.#waiting.set(text, { entry, first: now, last: now, count: 1 })
    } else {
      this.#lost ??= { first: now, count: 0 }
      this.#lost.count++
    }
    this.#writing ??= this.#write()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#closing.abort()
    const late = setTimeout(() => this.#late.abort(), this.#options.closeMs ?? 5_000)
    await this.#writing
    clearTimeout(late)
    if (this.#waiting.size === 0) return
    const entries = this.#waiting.size
    this.#options.logger.warn('Entries of the audit trail could not be stored before the end.', { entries })
  }

  /** Appends until nothing waits. Never throws. */
  async #write(): Promise<void> {
    while ((this.#waiting.size > 0 || this.#lost !== undefined) && !this.#late.signal.aborted) {
      await this.#pause(this.#options.batchMs ?? 200)
      const batch = this.#waiting
      const lost = this.#lost
      this.#waiting = new Map()
      this.#lost = undefined
      this.#appending = batch.size
      const isStored = await this.#store([...batch.values()].map(recordOf).concat(lost ? [recordOfLost(lost)] : []))
      this.#appending = 0
      if (!isStored) this.#waiting = new Map([...batch, ...this.#waiting])
    }
    this.#writing = undefined
  }

  /** False if there was no time to. */
  async #store(records: readonly NewRecord[]): Promise<boolean> {
    const { log, topic, config, logger } = this.#options
    let said: string | undefined
    while (!this.#late.signal.aborted) {
      try {
        const eventLog = await log()
        if (!this.#isTopicThere) await eventLog.ensureTopic(topic, config)
        this.#isTopicThere = true
        await eventLog.append(topic, records)
        if (said !== undefined) logger.info('The audit trail is written again.', { topic })
        return true
      } catch (error) {
        this.#isTopicThere = false
        const reason = errorMessage(error)
        if (reason !== said) {
          logger.warn('The audit trail cannot be written at present; its entries wait.', { topic, reason })
        }
        said = reason
        await this.#pause(this.#options.retryMs ?? 1_000)
      }
    }
    return false
  }

  /** Shorter when the trail is about to close. */
  async #pause(milliseconds: number): Promise<void> {
    const signal = this.#closing.signal.aborted ? this.#late.signal : this.#closing.signal
    const wait = this.#closing.signal.aborted ? Math.min(milliseconds, 50) : milliseconds
    await sleep(wait, undefined, { signal, ref: false }).catch(() => undefined)
  }
}

function recordOf({ entry, first, last, count }: Counted): NewRecord {
  const { name, address, code, ...rest } = entry
  return record(
    {
      time: new Date(first).toISOString(),
      ...rest,
      ...(name === undefined ? {} : { name }),
      ...(address === undefined ? {} : { address }),
      ...(code === undefined ? {} : { code }),
      ...(count === 1 ? {} : { count, until: new Date(last).toISOString() }),
    },
    first,
    entry.principal,
  )
}

function recordOfLost({ first, count }: Lost): NewRecord {
  return record({ time: new Date(first).toISOString(), action: 'lost', count }, first, null)
}

function record(value: JsonObject, timestamp: number, key: string | null): NewRecord {
  return { key: key === null ? null : encoder.encode(key), value: encoder.encode(JSON.stringify(value)), timestamp }
}
