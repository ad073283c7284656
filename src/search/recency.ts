export interface Recency {
  /** Milliseconds after which the part of the score that fades is half as much. */
  readonly halfLife: number
  /** How large that part is, from 0 to 1. */
  readonly weight: number
}

/**
 * A score with the part taken off that has faded with age. Never more than the score, and of two events with the same score
 * the newer one has no less, whatever the sign: what age takes off is a part of the score's size. A timestamp in the future
 * counts as now.
 */
export function faded(score: number, timestamp: number, now: number, { halfLife, weight }: Recency): number {
  const age = Math.max(0, now - timestamp)
  return score - Math.abs(score) * weight * (1 - 2 ** (-age / halfLife))
}
