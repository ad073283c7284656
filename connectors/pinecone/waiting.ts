import { setTimeout as sleep } from 'node:timers/promises'

const firstPauseMs = 25
const longestPauseMs = 1_000

/** Pauses between two looks at something that is on its way, longer from turn to turn. */
export async function pause(turn: number): Promise<void> {
  await sleep(Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(turn, 10)))
}

export function elapsed(since: number, limitMs: number): boolean {
  return Date.now() - since >= limitMs
}
