const least = 0.05
const growth = Math.log(1.08)
const buckets = 240
const sliceMs = 10_000
const slices = 6

/** Quantiles of durations over the last minute, within 4 %. Constant memory, whatever the rate. */
export class LatencyWindow {
  readonly #counts = Array.from({ length: slices }, () => new Uint32Array(buckets))
  readonly #now: () => number
  #slice: number

  /** `now` is a monotonic clock in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#slice = Math.floor(now() / sliceMs)
  }

  /** Milliseconds that each of `events` events took. Negative ones (clocks that disagree) count as none. */
  record(milliseconds: number, events = 1): void {
    this.#advance()
    const bucket = milliseconds <= least ? 0 : Math.ceil(Math.log(milliseconds / least) / growth)
    const counts = this.#counts[this.#slice % slices]
    const index = Math.min(bucket, buckets - 1)
    if (counts) counts[index] = (counts[index] ?? 0) + events
  }

  /** Milliseconds, or undefined when nothing was recorded in the last minute. */
  quantiles(): { p50: number; p99: number } | undefined {
    this.#advance()
    const sums = new Float64Array(buckets)
    let total = 0
    for (const counts of this.#counts) {
      for (const [index, count] of counts.entries()) {
        sums[index] = (sums[index] ?? 0) + count
        total += count
      }
    }
    if (total === 0) return undefined
    return { p50: quantile(sums, total * 0.5), p99: quantile(sums, total * 0.99) }
  }

  #advance(): void {
    const slice = Math.floor(this.#now() / sliceMs)
    for (let passed = Math.max(this.#slice + 1, slice - slices + 1); passed <= slice; passed++) {
      this.#counts[passed % slices]?.fill(0)
    }
    this.#slice = Math.max(slice, this.#slice)
  }
}

function quantile(sums: Float64Array, rank: number): number {
  let seen = 0
  for (const [index, count] of sums.entries()) {
    seen += count
    // The middle of the bucket, on its logarithmic scale.
    if (seen >= rank) return Math.round(least * Math.exp((index - 0.5) * growth) * 1000) / 1000
  }
  return 0
}
