import { InvalidInput } from '../errors.ts'
import { type Token, tokenize } from './sql.ts'

const readers = new Set(['SELECT', 'WITH', 'SHOW', 'DESCRIBE', 'DESC', 'EXPLAIN', 'EXISTS'])

/** Functions that reach beyond the tables: files, other servers, programs. */
const outside = new Set(
  [
    'arrowFlight arrowStream azureBlobStorage bigquery catboostEvaluate cluster clusterAllReplicas deltaLake dictionary',
    'eval executable file fileCluster filesystem gcs hasColumnInTable hdfs hive hudi iceberg icebergAzure icebergHDFS icebergLocal icebergS3 input jdbc',
    'mongodb mysql odbc oss cosn paimon postgresql prometheusQuery python redis remote remoteSecure s3 sqlite url ytsaurus',
  ].flatMap((names) => names.toLowerCase().split(' ')),
)
const outsidePattern =
  /^(ai_?(classify|embed|extract|generate|translate)|azureblobstorage|deltalake|gcs|hdfs|hudi|iceberg|mysql|odbc|paimon|postgresql|s3|url)\w*$/

/**
 * A query that only reads, without the `;` that may stand at its end. This is the outer of two fences: the inner one is the
 * engine's own (a role with rights to the tables alone, or `readonly`). It holds what the engine lets pass: several
 * statements in one text, `INTO OUTFILE`, and functions that read files. Throws `InvalidInput` (`query_not_allowed`).
 */
export function readOnlyQuery(sql: string): string {
  const tokens = tokenize(sql)
  while (isSign(tokens.at(-1), ';')) tokens.pop()
  const first = tokens.find((token) => !isSign(token, '('))
  if (first === undefined) throw new InvalidInput({ code: 'query_failed', message: 'The query is empty' })
  if (first.kind !== 'word' || !readers.has(first.text.toUpperCase())) {
    throw refused(`a query starts with SELECT, WITH, SHOW, DESCRIBE, EXPLAIN or EXISTS, not with ${first.text}`)
  }
  tokens.forEach((token, at) => {
    const next = tokens[at + 1]
    if (isSign(token, ';')) throw refused('a query is one statement')
    if (isWord(token, 'OUTFILE') && isWord(tokens[at - 1], 'INTO')) throw refused('INTO OUTFILE writes a file')
    if (isSign(next, '(')) assertInside(token)
  })
  return sql.replace(/[;\s]+$/, '')
}

function assertInside(token: Token): void {
  if (token.kind !== 'word' && token.kind !== 'quoted') return
  if (token.kind === 'quoted' && token.text.includes('\\')) throw refused('a function is named without escapes')
  const name = token.text.toLowerCase()
  if (outside.has(name) || outsidePattern.test(name)) throw refused(`${token.text}() reaches beyond the tables`)
}

function isSign(token: Token | undefined, text: string): boolean {
  return token?.kind === 'sign' && token.text === text
}

function isWord(token: Token | undefined, text: string): boolean {
  return token?.kind === 'word' && token.text.toUpperCase() === text
}

function refused(why: string): InvalidInput {
  return new InvalidInput({ code: 'query_not_allowed', message: `Queries only read the tables: ${why}` })
}
