/** One measured figure. */
export interface Figure {
  readonly name: string
  readonly value: number
  /** `ms`, `events/s`, `MB`, `ratio`, … */
  readonly unit: string
  /** What it ought to be at least, or at most. */
  readonly least?: number
  readonly most?: number
  readonly note?: string
}

export interface Benchmark {
  readonly name: string
  readonly summary: string
  run(): Promise<readonly Figure[]>
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}
