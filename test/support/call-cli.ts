import { join } from 'node:path'
import { reportFailure } from '../../src/cli/failure.ts'
import { createProgram } from '../../src/cli/program.ts'
import { recordingTerminal } from './terminal.ts'

/** Calls a command in this process, which is many times faster than starting one. It gets neither signals nor input. */
export async function callCli(args: readonly string[], folder: string, environment: NodeJS.ProcessEnv = {}) {
  const terminal = recordingTerminal()
  const program = createProgram({
    terminal,
    environment: { MILLRACE_DATA: join(folder, 'data'), MILLRACE_SERVER_PORT: '0', ...environment },
    folder,
    interruption: () => ({ first: new AbortController().signal, second: new AbortController().signal }),
  })
  const text = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join('')
  let code = 0
  try {
    await program.parseAsync([...args], { from: 'user' })
  } catch (error) {
    code = reportFailure(error, terminal, { json: args.includes('--json'), verbose: args.includes('--verbose') })
  }
  return { code, stdout: text(terminal.out), stderr: text(terminal.err) }
}
