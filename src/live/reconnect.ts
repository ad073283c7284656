const leastMs = 500
const mostMs = 30_000

/**
 * Milliseconds that one of so many clients should wait before it connects again. Each draws its own, from a second for
 * every thousand of them, so that a server is asked for about a thousand connections a second.
 */
export function reconnectAfter(sessions: number, random: () => number = Math.random): number {
  return Math.round(random() * Math.min(mostMs, Math.max(leastMs, sessions)))
}
