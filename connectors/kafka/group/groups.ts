import { setMaxListeners } from 'node:events'
import { InvalidInput } from '../../../src/core/errors.ts'
import type { LaneSource, Source, SourceOptions } from '../../../src/core/event-log.ts'
import type { KafkaParts } from '../parts.ts'
import { GroupMember } from './group-member.ts'

/** The consumer groups that this process is in. */
export class Groups {
  readonly #parts: KafkaParts
  readonly #members = new Set<GroupMember>()

  constructor(parts: KafkaParts) {
    // Every lane that waits for records listens to it.
    setMaxListeners(0, parts.closed)
    this.#parts = parts
  }

  /** Throws `InvalidInput` (`bad_group_name`). */
  source(options: SourceOptions): Source {
    if (!/^[^\0]{1,255}$/.test(options.group))
      throw new InvalidInput({ code: 'bad_group_name', message: 'a group name has 1 to 255 characters' })
    return { lanes: (signal) => this.#lanes(options, signal) }
  }

  async *#lanes(options: SourceOptions, signal: AbortSignal): AsyncGenerator<LaneSource> {
    const member = new GroupMember(this.#parts, options, () => this.#members.delete(member))
    this.#members.add(member)
    yield* member.lanes(signal)
  }

  /** Every member gives up its lanes and leaves its group. To be called once `parts.closed` has fired. Never throws. */
  async close(): Promise<void> {
    await Promise.all([...this.#members].map((member) => member.close()))
  }
}
