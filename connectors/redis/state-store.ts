import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { Fatal, Fenced } from '../../src/core/errors.ts'
import type { Json } from '../../src/core/event.ts'
import type { StateChange, StateScope, StateStore } from '../../src/core/state.ts'
import type { Argument, Connection } from './connection.ts'
import { script } from './script.ts'

/*
 * A scope is two hashes in one slot:
 *
 *   :state   owner → token, from → position of the last prepare, k:<key> → JSON of the value
 *   :undo    <key> → "=" + JSON of what stood there before the last prepare, or "-" if nothing did
 *
 * A prepare for a later position says that the one before is committed, so only the last one can ever be undone, and its
 * keys alone are remembered. Whoever takes the scope over below that position puts back what stood there before.
 */

const prefixOfKeys = 'k:'

/** KEYS state, undo. ARGV token, committed. */
const takeOver = script(`
local from = tonumber(redis.call('HGET', KEYS[1], 'from') or '-1')
if from > tonumber(ARGV[2]) then
  local undo = redis.call('HGETALL', KEYS[2])
  for i = 1, #undo, 2 do
    if string.sub(undo[i + 1], 1, 1) == '-' then
      redis.call('HDEL', KEYS[1], '${prefixOfKeys}' .. undo[i])
    else
      redis.call('HSET', KEYS[1], '${prefixOfKeys}' .. undo[i], string.sub(undo[i + 1], 2))
    end
  end
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'from', ARGV[2])
return 1
`)

/** KEYS state, undo. ARGV token, from, then key and value by turns; an empty value deletes. Answers the owner if it is another. */
const prepare = script(`
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner ~= ARGV[1] then return {owner or ''} end
local from = tonumber(redis.call('HGET', KEYS[1], 'from'))
-- A call that was given up and repeated may arrive after the next one.
if tonumber(ARGV[2]) < from then return 1 end
if tonumber(ARGV[2]) > from then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], 'from', ARGV[2])
end
for i = 3, #ARGV, 2 do
  local field = '${prefixOfKeys}' .. ARGV[i]
  local before = redis.call('HGET', KEYS[1], field)
  redis.call('HSETNX', KEYS[2], ARGV[i], before and ('=' .. before) or '-')
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], field)
  else
    redis.call('HSET', KEYS[1], field, ARGV[i + 1])
  end
end
return 1
`)

/** Changes that one call of the script makes, so that no one else waits long for the server. */
const changesPerCall = 1_000
const keysPerCall = 1_000
const scanCount = 1_000

/** State of pipelines in Redis: one hash for each scope, written by whoever took it over last. */
export function createStateStore(connection: Connection): StateStore {
  return {
    async takeOver(scope, committed) {
      const keys = [connection.key('state', scope, 'state'), connection.key('state', scope, 'undo')]
      const token = randomUUID()
      await connection.run(takeOver, keys, [token, committed])
      return new RedisScope(connection, scope, keys, token)
    },
    close: () => Promise.resolve(),
  }
}

const values = z.array(z.string().nullable())
const cursorAndFields = z.tuple([z.string(), z.array(z.string())])

class RedisScope implements StateScope {
  readonly #connection: Connection
  readonly #scope: string
  readonly #keys: readonly string[]
  readonly #token: string

  constructor(connection: Connection, scope: string, keys: readonly string[], token: string) {
    this.#connection = connection
    this.#scope = scope
    this.#keys = keys
    this.#token = token
  }

  async prepare(from: number, changes: readonly StateChange[]): Promise<void> {
    for (let at = 0; at < changes.length; at += changesPerCall) {
      const args: Argument[] = [this.#token, from]
      for (const { key, value } of changes.slice(at, at + changesPerCall)) {
        args.push(key, value === undefined ? '' : JSON.stringify(value))
      }
      const reply = await this.#connection.run(prepare, this.#keys, args)
      if (Array.isArray(reply)) this.#notOurs(String(reply[0]))
    }
  }

  async get(keys: readonly string[]): Promise<(Json | undefined)[]> {
    const found: (Json | undefined)[] = []
    for (let at = 0; at < keys.length; at += keysPerCall) {
      const fields = keys.slice(at, at + keysPerCall).map((key) => prefixOfKeys + key)
      const [state = ''] = this.#keys
      const [owner, ...stored] = values.parse(await this.#connection.text('hmget', [state, 'owner', ...fields]))
      // What someone else has written since belongs to positions that this reader does not know.
      if (owner !== this.#token) this.#notOurs(owner ?? '')
      for (const text of stored) found.push(text === null ? undefined : parse(text))
    }
    return found
  }

  /** Keys in the order of their UTF-8 bytes. They are collected first, since a hash has no order of its own. */
  async *scan(prefix: string): AsyncGenerator<readonly [string, Json]> {
    const keys = await this.#keysWith(prefix)
    for (let at = 0; at < keys.length; at += keysPerCall) {
      const page = keys.slice(at, at + keysPerCall)
      const found = await this.get(page)
      for (const [index, key] of page.entries()) {
        const value = found[index]
        if (value !== undefined) yield [key, value]
      }
    }
  }

  async #keysWith(prefix: string): Promise<string[]> {
    const pattern = `${prefixOfKeys}${prefix.replace(/[\\*?[\]^-]/g, '\\$&')}*`
    const keys = new Map<string, Buffer>()
    const [state = ''] = this.#keys
    let cursor = '0'
    do {
      const reply = await this.#connection.text('hscan', [state, cursor, 'MATCH', pattern, 'COUNT', scanCount])
      const [next, fields] = cursorAndFields.parse(reply)
      for (let at = 0; at < fields.length; at += 2) {
        const key = (fields[at] ?? '').slice(prefixOfKeys.length)
        keys.set(key, Buffer.from(key))
      }
      cursor = next
    } while (cursor !== '0')
    return [...keys].sort(([, a], [, b]) => a.compare(b)).map(([key]) => key)
  }

  #notOurs(owner: string): never {
    if (owner === '') {
      throw new Fatal({
        code: 'state_lost',
        message: `Redis no longer has the state of ${this.#scope}: its data were deleted, or lost without persistence.`,
        hint: 'Resume the pipeline to go on without what it has remembered.',
      })
    }
    throw new Fenced({ code: 'state_taken_over', message: `Someone else has taken over the state of ${this.#scope}.` })
  }
}

function parse(text: string): Json {
  return JSON.parse(text)
}
