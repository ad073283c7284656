import { Forbidden } from './errors.ts'

/** What may be done with a name: of a topic, a channel, a collection, a query, a pipeline. */
export const actions = ['publish', 'subscribe', 'search', 'query', 'manage'] as const
export type Action = (typeof actions)[number]

export type RowValue = string | number | boolean

/**
 * What someone sees of rows and events: those of which at least one alternative holds. An alternative names fields
 * (`tenant`, `customer.id`) and the value that each of them must have. It is never empty.
 */
export type RowFilter = readonly Readonly<Record<string, RowValue>>[]

/** Whoever makes a request or holds a session. */
export interface Principal {
  /** The subject of a token, the common name of a certificate, `token` for the server's own, `local` on loopback. */
  readonly id: string
  readonly claims: Readonly<Record<string, unknown>>
  /** When this stops to hold, in milliseconds since 1970; null for never. */
  readonly expires: number | null
  may(action: Action, name: string): boolean
  /** What it sees of that name; undefined for everything. Asked only for what it may. */
  rows(action: Action, name: string): RowFilter | undefined
}

const verbs: Readonly<Record<Action, string>> = {
  publish: 'publish to',
  subscribe: 'subscribe to',
  search: 'search',
  query: 'run the query',
  manage: 'manage',
}

/** What someone is told who may not do it: `forbidden`, with the action and what it was asked for. */
export function notAllowed({ id }: Principal, action: Action, name: string): Forbidden {
  const message = `"${id}" may not ${verbs[action]} "${name}".`
  return new Forbidden({ code: 'forbidden', message, hint: 'server.access says who may do what.' })
}

/** Who may do everything, and sees everything. */
export function unrestricted(id: string): Principal {
  return { id, claims: {}, expires: null, may: () => true, rows: () => undefined }
}
