import type { Table } from '@lancedb/lancedb'
import { fieldKey } from '../../src/core/vector-rules.ts'
import { own } from './columns.ts'
import type { Sdk } from './sdk.ts'
import { containsSql, formsOf, join, wordSql } from './where.ts'

/** Of points with the same words so many are kept, from which the nearest are taken. */
const keptAlike = 1_000
const scoreColumn = '_score'

export interface Found {
  readonly id: string
  /** Higher for more and rarer words. */
  readonly rank: number
}

/** The best of the points with at least one of the words, by the indexes of these fields. */
export async function findWords(
  { lancedb }: Sdk,
  table: Table,
  fields: readonly string[],
  words: readonly string[],
  where: string | undefined,
  most: number,
): Promise<Found[]> {
  const forms = new Set(words.flatMap(formsOf))
  const query = new lancedb.MultiMatchQuery([...forms].join(' '), fields.map(fieldKey))
  const rows = table.query().fullTextSearch(query).select([own.id, scoreColumn]).limit(most)
  const found = await (where === undefined ? rows : rows.where(where)).toArrow()
  const [ids, scores] = [found.getChild(own.id), found.getChild(scoreColumn)]
  return Array.from({ length: found.numRows }, (_, row) => ({
    id: String(ids?.get(row)),
    rank: Number(scores?.get(row)),
  }))
}

/**
 * Reads the texts of a whole table: the points with at least one of the words, those with more and rarer ones first.
 * Of a table without an index that costs little beside the search for meaning, which reads all its vectors.
 */
export async function scanForWords(
  table: Table,
  fields: readonly string[],
  words: readonly string[],
  where: string | undefined,
): Promise<Found[]> {
  const inAnyField = (word: string, sql: typeof wordSql) =>
    join(
      fields.map((field) => sql(fieldKey(field), word)),
      'OR',
    )
  const having = words.map((word) => inAnyField(word, wordSql))
  const any = join(
    words.map((word) => inAnyField(word, containsSql)),
    'OR',
  )
  const rows = table
    .query()
    .where(where === undefined ? any : `(${where}) AND ${any}`)
    .select(new Map([[own.id, own.id], ...having.map((sql, index): [string, string] => [flag(index), sql])]))
  const frequencies = words.map(() => 0)
  const alike = new Map<string, { readonly words: readonly number[]; readonly ids: string[] }>()
  for await (const batch of rows) {
    const [ids, flags] = [batch.getChild(own.id), words.map((_, index) => batch.getChild(flag(index)))]
    for (let row = 0; row < batch.numRows; row++) {
      const own = flags.flatMap((column, index) => (column?.get(row) === true ? [index] : []))
      if (own.length === 0) continue
      for (const index of own) frequencies[index] = (frequencies[index] ?? 0) + 1
      const key = own.join()
      const group = alike.get(key) ?? { words: own, ids: [] }
      alike.set(key, group)
      if (group.ids.length < keptAlike) group.ids.push(String(ids?.get(row)))
    }
  }
  return [...alike.values()]
    .map(({ words, ids }) => ({ ids, rank: words.reduce((sum, index) => sum + 1 / (frequencies[index] ?? 1), 0) }))
    .sort((left, right) => right.rank - left.rank)
    .flatMap(({ ids, rank }) => ids.map((id) => ({ id, rank })))
}

function flag(index: number): string {
  return `w${index}`
}
