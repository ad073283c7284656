import { errorCode, MillraceError } from '../core/errors.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, unknown>>

/** A level is a consequence: `warn` means it recovered, `error` means that an operator is needed. */
export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

export interface LogOptions {
  /** Takes one line without its newline. */
  readonly write: (line: string) => void
  /** Nothing below it is written. Default `info`. */
  readonly level?: LogLevel
  /** `json` for collectors, `text` for people. */
  readonly format: 'json' | 'text'
}

const ranks: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 }

export function createLog({ write, level = 'info', format }: LogOptions): Log {
  const at =
    (rank: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (ranks[rank] < ranks[level]) return
      const time = new Date().toISOString()
      write(format === 'json' ? json({ time, level: rank, message, ...fields }) : text(time, rank, message, fields))
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export const silentLog: Log = createLog({ write: () => undefined, format: 'text' })

function json(entry: LogFields): string {
  return JSON.stringify(entry, (_key, value: unknown) => plain(value))
}

function text(time: string, level: LogLevel, message: string, fields: LogFields): string {
  const rest = Object.entries(fields).map(([name, value]) => {
    const shown = plain(value)
    return ` ${name}=${typeof shown === 'string' && !/[\s"=]/.test(shown) ? shown : JSON.stringify(shown)}`
  })
  return `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${message}${rest.join('')}`
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (!(value instanceof Error)) return value
  const { name, message } = value
  // What was not raised on purpose is found by where it came from.
  if (!(value instanceof MillraceError)) return { name, message, code: errorCode(value), stack: value.stack }
  return { name, message, code: value.code }
}
