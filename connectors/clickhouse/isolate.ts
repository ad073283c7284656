import { type Analytics, RejectedRows } from '../../src/core/analytics.ts'
import type { Rejection } from '../../src/core/errors.ts'
import type { IndexedRow } from './rows.ts'

/** Rows of one insert. A larger block goes in as several, cut at multiples of this. It must not change: tokens depend on it. */
const mostRows = 100_000
/** Blamed rows that are taken out one by one before the rest is halved. It must not change either. */
const mostBlamed = 16

/**
 * Inserts rows so that each good one is in exactly once, however often this is repeated, and answers the others.
 *
 * An insert is taken as a whole or not at all. If it is refused, the row that ClickHouse blames is tried alone, and the rest
 * again; if it blames none, or many, the rows are halved. Every step follows from the rows and the table alone, and
 * every insert has a token that follows from the block and the events' indices in it. So a replay makes the same steps,
 * and what was accepted the first time is dropped as a repetition.
 */
export async function insertIsolating(
  analytics: Analytics,
  table: string,
  rows: readonly IndexedRow[],
  token: string,
): Promise<Rejection[]> {
  const rejections: Rejection[] = []

  const attempt = async (part: readonly IndexedRow[], partToken: string): Promise<RejectedRows | undefined> => {
    try {
      await analytics.insert(
        table,
        part.map(({ row }) => row),
        partToken,
      )
      return undefined
    } catch (error) {
      if (error instanceof RejectedRows) return error
      throw error
    }
  }

  const tryAlone = async (only: IndexedRow): Promise<void> => {
    const refused = await attempt([only], `${token}#${only.index}`)
    if (refused !== undefined) rejections.push({ index: only.index, code: refused.code, message: refused.message })
  }

  const insertAll = async (part: readonly IndexedRow[], partToken: string): Promise<void> => {
    let rest = part
    for (let blamed = 0; rest.length > 1; blamed += 1) {
      const refused = await attempt(rest, partToken)
      if (refused === undefined) return
      const accused = refused.row === undefined ? undefined : rest[refused.row]
      if (accused === undefined || blamed >= mostBlamed) return await halve(rest)
      await tryAlone(accused)
      rest = rest.filter((row) => row !== accused)
    }
    for (const only of rest) await tryAlone(only)
  }

  const halve = async (part: readonly IndexedRow[]): Promise<void> => {
    const middle = Math.ceil(part.length / 2)
    for (const half of [part.slice(0, middle), part.slice(middle)]) {
      await insertAll(half, `${token}#${half[0]?.index}-${half.at(-1)?.index}`)
    }
  }

  if (rows.length <= mostRows) await insertAll(rows, token)
  for (let from = 0; rows.length > mostRows && from < rows.length; from += mostRows) {
    await insertAll(rows.slice(from, from + mostRows), `${token}#from-${from}`)
  }
  return rejections
}
