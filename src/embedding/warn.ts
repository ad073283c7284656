/** Takes what went wrong and was recovered from, for the log. */
export type Warn = (message: string, fields: Readonly<Record<string, unknown>>) => void
