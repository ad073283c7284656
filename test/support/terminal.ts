import type { Terminal } from '../../src/cli/terminal.ts'

/** A terminal that keeps what is printed. */
export function recordingTerminal(columns = 0): Terminal & { readonly out: string[]; readonly err: string[] } {
  const out: string[] = []
  const err: string[] = []
  return {
    out,
    err,
    interactive: columns > 0,
    columns,
    colours: false,
    print: (text = '') => void out.push(text),
    note: (text) => void err.push(text),
    json: (value) => void out.push(JSON.stringify(value)),
    style: (_style, text) => text,
    progress: () => {},
  }
}
