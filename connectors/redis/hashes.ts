import { InvalidInput, type MillraceError } from '../../src/core/errors.ts'
import type { Hashes } from '../../src/core/lookup.ts'
import type { Connection } from './connection.ts'

type Found = Readonly<Record<string, string>> | MillraceError | undefined

/** Each hash is asked for by a command of its own; those of one call are sent together. */
export function createHashes(connection: Connection): Hashes {
  return {
    get: (keys, fields) => Promise.all(keys.map((key) => hashOf(connection, key, fields))),
  }
}

/** A hash that has none of the fields counts as missing. */
async function hashOf(connection: Connection, key: string, fields: readonly string[] | undefined): Promise<Found> {
  try {
    const entries = fields === undefined ? await all(connection, key) : await some(connection, key, fields)
    return entries.length === 0 ? undefined : Object.fromEntries(entries)
  } catch (error) {
    if (!isOfAnotherType(error)) throw error
    return new InvalidInput({ code: 'lookup_no_hash', message: `the key "${key}" in Redis is no hash.` })
  }
}

/** The client makes an object of this reply. */
async function all(connection: Connection, key: string): Promise<(readonly [string, string])[]> {
  const reply = await connection.text('hgetall', [key])
  return typeof reply === 'object' && reply !== null
    ? Object.entries(reply).map(([name, of]) => [name, String(of)])
    : []
}

async function some(
  connection: Connection,
  key: string,
  fields: readonly string[],
): Promise<(readonly [string, string])[]> {
  const reply = await connection.text('hmget', [key, ...fields])
  const values: readonly unknown[] = Array.isArray(reply) ? reply : []
  return fields.flatMap((field, index) => {
    const value = values[index]
    return typeof value === 'string' ? [[field, value] as const] : []
  })
}

function isOfAnotherType(error: unknown): boolean {
  return error instanceof Error && error.cause instanceof Error && error.cause.message.startsWith('WRONGTYPE')
}
