import { pointColumns } from './rows.ts'

/** Of the points that have a common word so many are looked at for the nearest. */
const mostHaving = 10_000

/**
 * The function that says which words a point's texts have, cut where an index could not hold them. What is looked for goes
 * through it as well, so both are folded alike, whatever the database's locale takes for a letter. Indexes are built on
 * what it says: another body needs another name.
 */
export const wordsFunction = `
  CREATE OR REPLACE FUNCTION millrace.words(fields jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array(
      SELECT DISTINCT left(word, 100) FROM jsonb_each(fields) AS field (name, value),
        regexp_split_to_table(lower(upper(normalize(value #>> '{}', NFKC))), '[^[:alnum:]]+') AS word
      WHERE jsonb_typeof(value) = 'string' AND word <> '')
  $$`

/** What the index of words is built on. */
export const wordIndexTarget = 'USING gin (millrace.words(fields))'

/** The `$2` rows nearest to `$1` that have all words of the text in `parameter`, and for which `where` holds. */
export function havingWords(table: string, where: string, parameter: string): string {
  const words = `millrace.words(jsonb_build_object('words', ${parameter}::text))`
  return `
    SELECT ${pointColumns}, 1 - (embedding <=> $1::vector) AS score FROM (
      SELECT ${pointColumns}, embedding FROM ${table}
      WHERE cardinality(${words}) > 0 AND millrace.words(fields) @> ${words} AND ${where} LIMIT ${mostHaving}
    ) AS having_words ORDER BY embedding <=> $1::vector, id LIMIT $2`
}
