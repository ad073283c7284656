import { NotFound } from '../../src/core/errors.ts'
import type { TopicConfig } from '../../src/core/event-log.ts'
import { didYouMean } from '../../src/core/nearest.ts'
import { definedSettings } from '../../src/core/topic-config.ts'
import type { Store, Table } from './store.ts'

export interface Topic {
  readonly name: string
  /** Stands for the name in keys. */
  readonly id: number
  readonly config: TopicConfig
}

const defaults: TopicConfig = {
  partitions: 1,
  retentionMs: 7 * 24 * 60 * 60 * 1000,
  retentionBytes: 10e9,
  compact: false,
}
export const mostPartitions = 1024

/** The topics by name. Read from the store each time, for another process may have changed them. */
export class Topics {
  readonly #table: Table

  constructor(store: Store) {
    this.#table = store.table('topics')
  }

  find(name: string): Topic | undefined {
    const stored = this.#table.get(Buffer.from(name))
    return stored && parse(name, stored)
  }

  /** Throws `NotFound` (`topic_not_found`). */
  get(name: string): Topic {
    const topic = this.find(name)
    if (topic) return topic
    const known = this.all().map((each) => each.name)
    throw new NotFound({ code: 'topic_not_found', message: `there is no topic "${name}"${didYouMean(name, known)}` })
  }

  all(): Topic[] {
    const topics: Topic[] = []
    for (const { key, value } of this.#table.getRange()) topics.push(parse(key.toString(), value))
    return topics
  }

  /** Whether `ensure` would change anything. */
  needs(name: string, changes: Partial<TopicConfig>): boolean {
    const topic = this.find(name)
    return !topic || JSON.stringify(topic.config) !== JSON.stringify(merge(topic.config, changes))
  }

  /** Inside a transaction. */
  ensure(name: string, changes: Partial<TopicConfig>): void {
    const topic = this.find(name)
    const config = topic ? merge(topic.config, changes) : { ...defaults, ...definedSettings(changes) }
    const id = topic?.id ?? 1 + this.all().reduce((highest, each) => Math.max(highest, each.id), 0)
    this.#table.putSync(Buffer.from(name), Buffer.from(JSON.stringify({ id, config })))
  }
}

/** Partitions never become fewer: their records would be lost. */
function merge(before: TopicConfig, changes: Partial<TopicConfig>): TopicConfig {
  const partitions = Math.max(before.partitions, changes.partitions ?? 1)
  return { ...before, ...definedSettings(changes), partitions }
}

function parse(name: string, stored: Buffer): Topic {
  const { id, config }: { id: number; config: TopicConfig } = JSON.parse(stored.toString())
  return { name, id, config }
}
