import { posix } from 'node:path'
import { z } from 'zod'
import { defineIntake } from '../../src/core/component.ts'
import { InvalidInput } from '../../src/core/errors.ts'
import { FilesIntake } from './intake.ts'
import { lineFiles } from './lines.ts'
import { wholeFiles } from './whole.ts'

const globs = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)])
const formats = ['whole', 'lines', 'ndjson', 'csv'] as const

const options = z.strictObject({
  path: globs.describe(
    'Which files: a glob such as docs/**/*.md, or several; relative to the working directory. ' +
      'Names that begin with a dot are meant only where the glob has the dot.',
  ),
  ignore: globs.optional().describe('Globs for files and folders that are left out. Folders named .git always are.'),
  format: z
    .enum(formats)
    .optional()
    .describe(
      'whole: a file is an event { path, name, text, bytes, modified }, keyed by its path, replaced when it changes and ' +
        'deleted when it vanishes. lines: an event { path, line, text } per line. ndjson: per JSON line. csv: per row, ' +
        'an object by the names in the first row, all values text. Left out: by the extension, else whole.',
    ),
  delimiter: z.string().length(1).default(',').describe('What stands between the values of a CSV row.'),
  follow: z
    .boolean()
    .default(true)
    .describe('Goes on as files change, come and vanish. If false, ends after one pass.'),
})
type Options = z.infer<typeof options>

/** Files as events, and their changes too. */
export const files = defineIntake({
  kind: 'source',
  name: 'files',
  summary: 'Reads files, in whole or by lines, and follows their changes.',
  example: `files: { path: ["docs/**/*.md", README.md], ignore: docs/drafts/** }`,
  main: 'path',
  options,
  create(given) {
    const format = given.format ?? formatOf(list(given.path))
    const { delimiter, follow } = given
    const selection = {
      folder: process.cwd(),
      globs: list(given.path).map(forwardSlashes),
      ignore: ['**/.git/**', ...list(given.ignore).map(forwardSlashes)],
    }
    const reader = format === 'whole' ? wholeFiles : lineFiles({ format, delimiter, follow })
    return {
      // Of a whole file only the newest version counts; lines share a key and all count.
      topic: { compact: format === 'whole' },
      run: (context) => new FilesIntake(selection, reader, context).run(follow),
    }
  },
})

const formatByExtension: Readonly<Record<string, Options['format']>> = {
  '.log': 'lines',
  '.ndjson': 'ndjson',
  '.jsonl': 'ndjson',
  '.csv': 'csv',
}

function formatOf(patterns: readonly string[]): (typeof formats)[number] {
  const [format = 'whole', ...others] = new Set(
    patterns.map((pattern) => formatByExtension[posix.extname(pattern).toLowerCase()] ?? 'whole'),
  )
  if (others.length === 0) return format
  throw new InvalidInput({
    code: 'mixed_formats',
    message: `files: the patterns ${patterns.join(', ')} mean files of different formats (${[format, ...others].join(', ')}).`,
    hint: 'Say which one with "format", or make a pipeline for each.',
  })
}

function list(value: string | readonly string[] | undefined): readonly string[] {
  return typeof value === 'string' ? [value] : (value ?? [])
}

function forwardSlashes(pattern: string): string {
  return process.platform === 'win32' ? pattern.replaceAll('\\', '/') : pattern
}
