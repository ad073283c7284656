import type { IntakeContext } from '../../src/core/component.ts'
import type { NewRecord } from '../../src/core/event.ts'
import type { StateChange } from '../../src/core/state.ts'

const maxRecords = 256
const maxBytes = 1_000_000

/** Groups records into appends. While one is under way the next is collected; whoever fills that has to wait. */
export class Appender {
  readonly #append: IntakeContext['append']
  #records: NewRecord[] = []
  #changes: StateChange[] = []
  #bytes = 0
  #last: Promise<void> = Promise.resolve()

  constructor(append: IntakeContext['append']) {
    this.#append = append
  }

  async add(records: readonly NewRecord[], change?: StateChange): Promise<void> {
    for (const record of records) {
      this.#records.push(record)
      this.#bytes += (record.key?.length ?? 0) + (record.value?.length ?? 0)
    }
    if (change !== undefined) this.#changes.push(change)
    if (this.#records.length >= maxRecords || this.#bytes >= maxBytes) await this.#start()
  }

  /** Resolves when everything is stored; throws what an append threw. */
  async flush(): Promise<void> {
    await this.#start()
    await this.#last
  }

  /** Waits for the append before. Appends never overlap, so what is remembered never runs ahead of what is stored. */
  async #start(): Promise<void> {
    const before = this.#last
    this.#last = before.then(() => this.#store())
    this.#last.catch(() => undefined) // thrown to whoever waits for it next
    await before
  }

  async #store(): Promise<void> {
    const records = this.#records
    const changes = this.#changes
    if (records.length === 0 && changes.length === 0) return
    this.#records = []
    this.#changes = []
    this.#bytes = 0
    await this.#append(records, changes)
  }
}
