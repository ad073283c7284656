import { styleText } from 'node:util'

export type Style = Parameters<typeof styleText>[0]

/** Where a command prints: results go to the standard output, progress and errors to the standard error. */
export interface Terminal {
  /** A person watches: progress may be redrawn in place. */
  readonly interactive: boolean
  /** Width of the screen in characters; 0 when nobody watches. */
  readonly columns: number
  /** The terminal shows colours, and the user has not turned them off (`NO_COLOR`). */
  readonly colours: boolean
  print(text?: string): void
  note(text: string): void
  /** One JSON document per line. */
  json(value: unknown): void
  /** The text in the style, where there are colours. */
  style(style: Style, text: string): string
  /** Redraws one line in place. Shows nothing when nobody watches. An empty text removes it. */
  progress(text: string): void
}

/** The terminal of this process. A reader that goes away (`millrace tap … | head`) ends the process quietly. */
export function processTerminal({ stdout, stderr }: Pick<NodeJS.Process, 'stdout' | 'stderr'> = process): Terminal {
  for (const stream of [stdout, stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0)
      throw error
    })
  }
  const interactive = stdout.isTTY === true
  const colours = interactive && stdout.hasColors()
  const redraws = stderr.isTTY === true
  let shown = false
  const clear = () => {
    if (shown) stderr.write('\r\u001b[K')
    shown = false
  }
  const print = (text = '') => {
    clear()
    stdout.write(`${text}\n`)
  }
  return {
    interactive,
    columns: interactive ? stdout.columns : 0,
    colours,
    print,
    note: (text) => {
      clear()
      stderr.write(`${text}\n`)
    },
    json: (value) => print(JSON.stringify(value)),
    style: (style, text) => (colours ? styleText(style, text) : text),
    progress: (text) => {
      clear()
      if (!redraws || text === '') return
      stderr.write(text)
      shown = true
    },
  }
}
