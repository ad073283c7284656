const least = 16
const most = 1_000
const bytes = 1 << 20

/** A batch that takes longer than this keeps what follows waiting; one far below it wastes calls. Milliseconds. */
const longMs = 200
const shortMs = 50

/**
 * How many events to read in one go: as many as are processed in 50 to 200 ms. A pipeline of plain expressions gets
 * large batches, one that embeds gets small ones, and both keep their latency.
 */
export class BatchSizer {
  #events = 256

  get events(): number {
    return this.#events
  }

  get bytes(): number {
    return bytes
  }

  /** A batch of so many events took so long from reading to the end of processing. */
  took(milliseconds: number, events: number): void {
    if (milliseconds > longMs) this.#events = Math.max(least, Math.floor(Math.min(this.#events, events) / 2))
    else if (milliseconds < shortMs && events >= this.#events) this.#events = Math.min(most, this.#events * 2)
  }
}
