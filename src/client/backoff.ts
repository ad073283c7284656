const firstDelayMs = 200
const longestDelayMs = 15_000

/** Half to all of a delay that doubles with every attempt, so that clients do not all come back at once. */
export function reconnectDelay(attempt: number, random: () => number = Math.random): number {
  const delay = Math.min(longestDelayMs, firstDelayMs * 2 ** attempt)
  return delay * (0.5 + random() / 2)
}
