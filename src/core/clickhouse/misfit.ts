import type { Json } from '../event.ts'

/** A value that a column of its type cannot hold. */
export class Misfit extends Error {}

const longestShown = 60

/** A value as an error message quotes it. */
export function shown(value: Json): string {
  const text = JSON.stringify(value)
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text
}
