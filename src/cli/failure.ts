import { CommanderError } from 'commander'
import { formatProblem, InvalidConfig } from '../config/problem.ts'
import { errorCode, errorMessage, MillraceError } from '../core/errors.ts'
import type { Terminal } from './terminal.ts'

/** What the shell is told. */
export const exitCodes = { done: 0, failed: 1, usage: 2 } as const

/** A command that has said all there is to say and only has to end with code 1. */
export class CommandFailed extends Error {}

/** A call that cannot be meant: the command ends with code 2. */
export class WrongUsage extends MillraceError {
  constructor(message: string, hint?: string) {
    super({ code: 'wrong_usage', message, hint })
  }
}

export interface FailureOptions {
  /** One JSON object instead of text. */
  readonly json: boolean
  /** With the stack and the causes. */
  readonly verbose: boolean
}

/** Says what went wrong, once and clearly, and answers the exit code. */
export function reportFailure(error: unknown, terminal: Terminal, { json, verbose }: FailureOptions): number {
  // Commander has printed its own message, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
  if (error instanceof CommandFailed) return exitCodes.failed

  const code = errorCode(error)
  const hint = error instanceof MillraceError ? error.hint : undefined
  if (json) {
    terminal.note(JSON.stringify({ error: { code: code ?? 'failed', message: errorMessage(error), hint } }))
  } else if (error instanceof InvalidConfig) {
    for (const problem of error.problems) {
      terminal.note(formatProblem(problem, error.text, { colour: terminal.colours }))
    }
  } else {
    const name = code === undefined ? '' : ` (${code})`
    terminal.note(`${terminal.style('red', 'error:')} ${errorMessage(error)}${name}`)
    if (hint !== undefined) terminal.note(`${terminal.style('cyan', 'hint:')} ${hint}`)
  }
  if (verbose) for (const line of stackLines(error)) terminal.note(line)
  return error instanceof WrongUsage ? exitCodes.usage : exitCodes.failed
}

function stackLines(error: unknown): string[] {
  const lines: string[] = []
  let current = error
  while (current instanceof Error) {
    lines.push(current.stack ?? String(current))
    current = current.cause
  }
  return lines
}
