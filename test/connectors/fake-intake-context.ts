import type { IntakeContext } from '../../src/core/component.ts'
import type { Json, NewRecord, Position } from '../../src/core/event.ts'
import type { StateChange, StateReader } from '../../src/core/state.ts'

/** Records what an intake appends and remembers, in memory; it may be run, stopped and run again. */
export class FakeIntakeContext {
  readonly records: NewRecord[] = []
  readonly appends: number[] = []
  readonly entries = new Map<string, Json>()
  /** Called before each append; may wait, or throw to play a log that fails. */
  beforeAppend: (records: readonly NewRecord[]) => void | Promise<void> = () => undefined
  #changed: () => void = () => undefined

  readonly state: StateReader = {
    get: (keys) => Promise.resolve(keys.map((key) => this.entries.get(key))),
    scan: (prefix) => this.#scan(prefix),
  }

  async *#scan(prefix: string): AsyncIterable<readonly [string, Json]> {
    for (const key of [...this.entries.keys()].sort()) {
      const value = this.entries.get(key)
      if (key.startsWith(prefix) && value !== undefined) yield [key, value]
    }
  }

  context(signal: AbortSignal): IntakeContext {
    return { signal, state: this.state, append: (records, changes) => this.#append(records, changes) }
  }

  async #append(records: readonly NewRecord[], changes: readonly StateChange[] = []): Promise<Position[]> {
    await this.beforeAppend(records)
    const first = this.records.length
    this.records.push(...records)
    this.appends.push(records.length)
    for (const { key, value } of changes) {
      if (value === undefined) this.entries.delete(key)
      else this.entries.set(key, value)
    }
    this.#changed()
    return records.map((_, index) => ({ topic: 'test.in', partition: 0, offset: first + index }))
  }

  /** Resolves once the condition holds; looks again after every append. */
  async until(condition: () => boolean, milliseconds = 10_000): Promise<void> {
    const deadline = Date.now() + milliseconds
    while (!condition()) {
      if (Date.now() > deadline)
        throw new Error(
          `waited in vain; there are ${this.records.length} records: ${JSON.stringify(this.events().slice(-5))}`,
        )
      await new Promise<void>((resolve) => {
        this.#changed = resolve
        setTimeout(resolve, 20)
      })
    }
  }

  /** Keys and values as text, values parsed if they are JSON; null is a tombstone. */
  events(): { key: string | null; value: unknown }[] {
    return this.records.map(({ key, value }) => ({ key: textOf(key), value: parsed(value) }))
  }
}

function textOf(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString()
}

function parsed(bytes: Uint8Array | null): unknown {
  const text = textOf(bytes)
  if (text === null) return null
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
