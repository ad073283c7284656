import { type Command, InvalidArgumentError } from 'commander'
import { didYouMean } from '../core/nearest.ts'
import { WrongUsage } from './failure.ts'
import type { Terminal } from './terminal.ts'

/** What every command is given of the world outside. */
export interface Cli {
  readonly terminal: Terminal
  readonly environment: NodeJS.ProcessEnv
  /** The folder the command was called in. */
  readonly folder: string
  /** From the first call on, Ctrl-C and SIGTERM are for the command to obey; before, they end the process. */
  interruption(): Interruption
}

export interface Interruption {
  /** Fires at the first Ctrl-C or SIGTERM: finish what was begun. */
  readonly first: AbortSignal
  /** Fires at the second: drop everything. Soon afterwards the process ends whatever the command does. */
  readonly second: AbortSignal
}

/** Options that every command understands. */
export interface GlobalOptions {
  readonly config?: string
  readonly data?: string
  readonly verbose?: boolean
}

/** Options of the commands that need the data. */
export interface DataOptions extends GlobalOptions {
  readonly server?: string
  readonly token?: string
  readonly cert?: string
  readonly certKey?: string
  readonly json?: boolean
}

/** Reads a whole number between two bounds from the command line. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (text.trim() === '' || !Number.isSafeInteger(number) || number < least || number > most) {
      const bounds = most === Number.MAX_SAFE_INTEGER ? `${least} or more` : `from ${least} to ${most}`
      throw new InvalidArgumentError(`Give a whole number, ${bounds}.`)
    }
    return number
  }
}

/** Reads a number between two bounds from the command line. */
export function numberBetween(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (text.trim() === '' || !(number >= least && number <= most)) {
      throw new InvalidArgumentError(`Give a number from ${least} to ${most}.`)
    }
    return number
  }
}

/** For the end of a command's help. */
export function examples(...lines: readonly string[]): string {
  return ['', lines.length === 1 ? 'Example:' : 'Examples:', ...lines.map((line) => `  $ ${line}`)].join('\n')
}

/** A group's default command gets the words that are no command of the group: `topics creat x`. Refuses them. */
export function refuseUnknownCommand(byDefault: Command): void {
  const [name] = byDefault.args
  if (name === undefined) return
  const known = byDefault.parent?.commands.map((command) => command.name()) ?? []
  throw new WrongUsage(`unknown command "${name}"${didYouMean(name, known)}`, `there are ${known.join(', ')}`)
}
