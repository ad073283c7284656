import type { Terminal } from './terminal.ts'

/** One column of a printed table. */
export interface TableColumn {
  readonly title: string
  /** Numbers stand on the right, so that their digits line up. */
  readonly right?: boolean
}

const gap = '  '

/** Prints rows under their titles. On a screen, the last column is cut where the screen ends. */
export function printTable(
  terminal: Terminal,
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
): void {
  const widths = columns.map(({ title }, index) =>
    rows.reduce((widest, row) => Math.max(widest, width(row[index] ?? '')), width(title)),
  )
  const line = (cells: readonly string[]) =>
    cut(
      columns.map(({ right }, index) => pad(oneLine(cells[index] ?? ''), widths[index] ?? 0, right === true)).join(gap),
      terminal.columns,
    )
  terminal.print(terminal.style('bold', line(columns.map(({ title }) => title))))
  for (const row of rows) terminal.print(line(row))
}

/** A count with thousands set apart: 1,234,567. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US', { maximumFractionDigits: 1 })
}

/** `1 event`, `1,234 events`. */
export function formatAmount(count: number, noun: string, plural = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : plural}`
}

/** Bytes in the unit that reads best: 1.5 GB. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let amount = bytes
  let unit = 0
  while (amount >= 1000 && unit < units.length - 1) {
    amount /= 1000
    unit += 1
  }
  return `${amount.toLocaleString('en-US', { maximumFractionDigits: unit === 0 ? 0 : 1 })} ${units[unit]}`
}

/** A text in one line. What is stored may be anyone's, so it has no control characters, which a terminal would obey. */
export function oneLine(text: string): string {
  return text.replace(/\s*\p{Cc}+\s*/gu, ' ')
}

function width(text: string): number {
  return [...oneLine(text)].length
}

function pad(text: string, to: number, right: boolean): string {
  const space = ' '.repeat(Math.max(0, to - width(text)))
  return right ? space + text : text + space
}

function cut(line: string, columns: number): string {
  const text = line.trimEnd()
  if (columns === 0 || width(text) <= columns) return text
  return `${[...text].slice(0, columns - 1).join('')}…`
}
