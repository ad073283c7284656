type Write = (message: string, fields?: Readonly<Record<string, unknown>>) => void

/** What this part needs of the process's log. */
export interface Logger {
  readonly warn: Write
  readonly error: Write
}
