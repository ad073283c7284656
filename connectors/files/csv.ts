import { isUtf8 } from 'node:buffer'
import { parse } from 'csv-parse/sync'
import { errorMessage } from '../../src/core/errors.ts'
import type { NewRecord } from '../../src/core/event.ts'
import type { Line } from './line-splitter.ts'
import { placeHeaders, undecodable } from './reader.ts'

export interface CsvRows {
  readonly records: readonly NewRecord[]
  /** The names in the file's first row. */
  readonly columns: string[] | undefined
}

/** Rows as objects by the names of the first row, all values as text. A row that does not fit them is undecodable. */
export function csvRows(path: string, lines: readonly Line[], known: string[] | undefined, delimiter: string): CsvRows {
  const rows = known === undefined ? lines.slice(1) : lines
  const columns = known ?? namesIn(lines[0], delimiter)
  const records = columns === undefined ? [] : recordsOf(path, rows, columns, delimiter)
  return { records, columns }
}

function namesIn(line: Line | undefined, delimiter: string): string[] | undefined {
  if (line === undefined) return undefined
  const [names] = cellsOf(line.bytes, delimiter)
  return (names ?? []).map((name, index) => name.trim() || `column${index + 1}`)
}

function recordsOf(path: string, rows: readonly Line[], columns: readonly string[], delimiter: string): NewRecord[] {
  const together = cellsOfAll(rows, delimiter)
  return rows.map((row, index) => {
    try {
      const cells = together?.[index] ?? cellsOf(row.bytes, delimiter)[0] ?? []
      if (cells.length !== columns.length || !isUtf8(row.bytes))
        return undecodable(path, row.bytes, mismatch(cells.length, columns.length), row.number)
      const value = Object.fromEntries(columns.map((name, column) => [name, cells[column]]))
      const bytes = Buffer.from(JSON.stringify(value))
      return { key: Buffer.from(path), value: bytes, headers: placeHeaders(path, row.number) }
    } catch (error) {
      return undecodable(path, row.bytes, errorMessage(error), row.number)
    }
  })
}

function mismatch(cells: number, columns: number): string {
  return cells === columns ? 'the row is not UTF-8 text' : `the row has ${cells} values for ${columns} columns`
}

/** Parsing many rows in one call is several times faster; undefined when one of them cannot be parsed. */
function cellsOfAll(rows: readonly Line[], delimiter: string): string[][] | undefined {
  try {
    const cells = cellsOf(Buffer.concat(rows.flatMap(({ bytes }) => [bytes, lineEnd])), delimiter)
    return cells.length === rows.length ? cells : undefined
  } catch {
    return undefined
  }
}

const lineEnd = Buffer.from('\n')

function cellsOf(bytes: Buffer, delimiter: string): string[][] {
  return parse(bytes, { delimiter, relax_column_count: true, record_delimiter: '\n' })
}
