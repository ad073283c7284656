import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { glob } from 'tinyglobby'
import { packageRoot } from '../../src/cli/package.ts'

/** The documents that users read, as paths from the package's root. */
export async function documents(): Promise<string[]> {
  return (await glob(['README.md', 'ARCHITECTURE.md', 'docs/*.md'], { cwd: packageRoot() })).toSorted()
}

/** The text of a file of the package. */
export function textOf(path: string): string {
  return readFileSync(join(packageRoot(), path), 'utf8')
}

interface CodeBlock {
  readonly language: string
  readonly text: string
}

/** The fenced blocks of a document, in order. */
export function codeBlocks(document: string): CodeBlock[] {
  return [...document.matchAll(/^```([a-z]*)\n(.*?)^```/gms)].map(([, language = '', text = '']) => ({
    language,
    text,
  }))
}

/** What stands under a heading, up to the next one of the same or a higher level. Empty if there is no such heading. */
export function section(document: string, heading: string): string {
  const lines = withoutCode(document).split('\n')
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === heading)
  if (start < 0) return ''
  const level = levelOf(lines[start] ?? '')
  const length = lines.slice(start + 1).findIndex((line) => levelOf(line) > 0 && levelOf(line) <= level)
  return lines.slice(start + 1, length < 0 ? undefined : start + 1 + length).join('\n')
}

/** The rows of all tables, without their heads, as texts of their cells. */
export function tableRows(text: string): string[][] {
  const rows = text.split('\n').map((line) => (line.startsWith('|') ? cellsOf(line) : undefined))
  return rows.filter((row, index): row is string[] => row !== undefined && !isRule(row) && !isRule(rows[index + 1]))
}

/** The anchors of a document's headings, as GitHub makes them. */
export function anchors(document: string): Set<string> {
  const headings = withoutCode(document).matchAll(/^#+ (.*)$/gm)
  return new Set(
    [...headings].map(([, text = '']) => {
      const plain = text.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '')
      return plain.replaceAll(' ', '-')
    }),
  )
}

/** The codes of the errors that the files raise. */
export async function codesIn(patterns: readonly string[]): Promise<Set<string>> {
  const files = await glob([...patterns], { cwd: packageRoot() })
  return new Set(
    files.flatMap((file) => [...textOf(file).matchAll(/\bcode: '([a-z_]+)'/g)].map(([, code = '']) => code)),
  )
}

/** What stands between backticks. */
export function named(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
}

function cellsOf(line: string): string[] {
  return line
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim())
}

function isRule(cells: readonly string[] | undefined): boolean {
  return cells?.every((cell) => /^-+$/.test(cell)) ?? false
}

function levelOf(line: string): number {
  return /^(#+) /.exec(line)?.[1]?.length ?? 0
}

function withoutCode(document: string): string {
  return document.replace(/^```.*?^```/gms, '')
}
