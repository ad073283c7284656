import { setTimeout as sleep } from 'node:timers/promises'
import type { TopicConfig } from '../../src/core/event-log.ts'
import { type CompactionOptions, compact } from './compaction.ts'
import type { LogParts } from './log-parts.ts'
import type { PartitionKey } from './partition-store.ts'
import { isOverdue, trim } from './retention.ts'

export interface MaintenanceOptions extends CompactionOptions {
  /** Milliseconds between rounds. */
  readonly everyMs: number
}

/** Between two steps of the same round, so that reads and appends go on. */
const pauseMs = 2

/**
 * Retention and compaction, round by round, in small transactions. Several processes may do this on one folder: each
 * step looks again at what it changes.
 */
export class Maintenance {
  readonly #parts: LogParts
  readonly #options: MaintenanceOptions
  readonly #timer: NodeJS.Timeout
  #round: Promise<void> | undefined

  constructor(parts: LogParts, options: MaintenanceOptions) {
    this.#parts = parts
    this.#options = options
    this.#timer = setInterval(() => {
      this.#round ??= this.#run().finally(() => {
        this.#round = undefined
      })
    }, options.everyMs).unref()
  }

  /** Ends after the step that runs. The log's `closed` signal must have fired. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#round
  }

  async #run(): Promise<void> {
    const { store, topics, closed } = this.#parts
    try {
      store.releaseDeadReaders()
      store.refresh()
      for (const topic of topics.all())
        for (let partition = 0; partition < topic.config.partitions && !closed.aborted; partition++) {
          const key = { topicId: topic.id, partition }
          await this.#retain(key, topic.config)
          if (topic.config.compact) await this.#compact(key)
        }
    } catch {
      // What is wrong with the store, such as a full disk, is reported by the next append or read. The next round tries again.
      return
    }
  }

  async #retain(key: PartitionKey, config: TopicConfig): Promise<void> {
    const { store, partitions, closed } = this.#parts
    for (;;) {
      if (closed.aborted) return
      store.refresh()
      const now = Date.now()
      if (!isOverdue(partitions, key, config, now)) return
      await store.writeEssential(() => trim(partitions, key, config, now))
      await sleep(pauseMs)
    }
  }

  async #compact(key: PartitionKey): Promise<void> {
    const { store, partitions, closed } = this.#parts
    const steps = compact(partitions, key, this.#options)
    for (;;) {
      if (closed.aborted) return
      store.refresh()
      const { done, value: write } = steps.next()
      if (done) return
      if (write) await store.writeEssential(write)
      await sleep(write ? pauseMs : 0)
    }
  }
}
