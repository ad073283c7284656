import type { AppendOptions } from '../../src/core/event-log.ts'
import type { StateReader } from '../../src/core/state.ts'
import { explain } from './errors.ts'
import { type ExactAppend, ExactProducer } from './exact-producer.ts'
import { readerOf } from './state-records.ts'
import type { WriterParts } from './writer-parts.ts'

/** Producers beyond these are forgotten once they have been idle for a while; they begin anew when they are needed. */
const mostIdle = 64
const idleMs = 5 * 60_000

/** Appends with `once` or `state`, by producer or scope. */
export class ExactAppends {
  readonly #parts: () => Promise<WriterParts>
  readonly #producers = new Map<string, ExactProducer>()

  constructor(parts: () => Promise<WriterParts>) {
    this.#parts = parts
  }

  async append(append: ExactAppend): Promise<number[][] | undefined> {
    const { once, state } = append
    const parts = await this.#parts()
    const producer = once === undefined ? this.#owner(parts, state?.scope ?? '') : this.#producer(parts, once)
    const offsets = await producer.append(append)
    if (offsets && once && state) this.#producers.get(ownerName(state.scope))?.changed(state.changes)
    return offsets
  }

  /** Reading the state of a scope makes this process its owner: nobody who wrote it before can slip something in after. */
  state(scope: string): StateReader {
    return readerOf(async () => {
      try {
        return await this.#owner(await this.#parts(), scope).values()
      } catch (error) {
        throw explain(error, `reading the state of ${scope}`)
      }
    })
  }

  /** Waits for what was submitted. */
  async close(): Promise<void> {
    await Promise.all([...this.#producers.values()].map((producer) => producer.idle()))
  }

  #producer(parts: WriterParts, { producer }: NonNullable<AppendOptions['once']>): ExactProducer {
    return this.#get(`once/${producer}`, () => new ExactProducer(parts, `once/${producer}`))
  }

  #owner(parts: WriterParts, scope: string): ExactProducer {
    return this.#get(ownerName(scope), () => new ExactProducer(parts, ownerName(scope), scope))
  }

  #get(name: string, make: () => ExactProducer): ExactProducer {
    const known = this.#producers.get(name)
    if (known) return known
    if (this.#producers.size >= mostIdle) {
      for (const [each, { busy, used }] of this.#producers)
        if (!busy && Date.now() - used > idleMs) this.#producers.delete(each)
    }
    const made = make()
    this.#producers.set(name, made)
    return made
  }
}

function ownerName(scope: string): string {
  return `append/${scope}`
}
