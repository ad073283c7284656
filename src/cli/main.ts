import type { Interruption } from './cli.ts'
import { reportFailure } from './failure.ts'
import { createProgram } from './program.ts'
import { processTerminal } from './terminal.ts'

const interruptedExit = 130
/** How long a command has to end after the second signal. */
const lastMomentMs = 1_000

function interruption(): () => Interruption {
  let made: Interruption | undefined
  return () => {
    if (made) return made
    const first = new AbortController()
    const second = new AbortController()
    const obey = () => {
      if (!first.signal.aborted) return first.abort()
      if (second.signal.aborted) process.exit(interruptedExit)
      second.abort()
      setTimeout(() => process.exit(interruptedExit), lastMomentMs).unref()
    }
    process.on('SIGINT', obey).on('SIGTERM', obey)
    made = { first: first.signal, second: second.signal }
    return made
  }
}

const terminal = processTerminal()
const args = process.argv.slice(2)
const program = createProgram({
  terminal,
  environment: process.env,
  folder: process.cwd(),
  interruption: interruption(),
})
try {
  await program.parseAsync(args, { from: 'user' })
} catch (error) {
  const flags = { json: args.includes('--json'), verbose: args.includes('--verbose') }
  process.exitCode = reportFailure(error, terminal, flags)
}
