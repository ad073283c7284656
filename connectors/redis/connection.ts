import { errorCode, errorMessage } from '../../src/core/errors.ts'
import { type Client, openClient, placeOf, type RedisSettings } from './client.ts'
import { redisError } from './errors.ts'
import type { Script } from './script.ts'

export type Argument = string | number | Buffer

/** The longest that a command may take, the time to connect included. */
const commandMs = 5_000

/** The connections of one process to one Redis: one for commands, one for subscriptions. Made when first needed. */
export class Connection {
  readonly prefix: string
  readonly clustered: boolean
  readonly #settings: RedisSettings
  #client: Promise<Client> | undefined
  #listener: Promise<Client> | undefined
  #closed = false
  /** What the connection for commands last ran into, while it is down. */
  #trouble: string | undefined

  constructor(settings: RedisSettings) {
    this.#settings = settings
    this.prefix = settings.prefix ?? 'millrace'
    this.clustered = settings.cluster !== undefined
  }

  /** The name of a key. Keys with the same `kind` and `name` lie in the same slot of a cluster. */
  key(kind: string, name: string, part: string): string {
    return `{${tag(this.prefix)}:${kind}:${tag(name)}}:${part}`
  }

  /** A command whose reply has texts as strings. Throws `Retryable` or `Fatal`. */
  text(command: string, args: readonly Argument[]): Promise<unknown> {
    return this.#send((client) => client.call(command, [...args]))
  }

  /** A command whose reply has texts as bytes. */
  bytes(command: string, args: readonly Argument[]): Promise<unknown> {
    return this.#send((client) => client.callBuffer(command, [...args]))
  }

  /** Runs a script; its reply has texts as bytes. All keys must lie in one slot. */
  run({ sha, lua }: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    const rest = [keys.length, ...keys, ...args]
    return this.#send((client) =>
      client.callBuffer('evalsha', [sha, ...rest]).catch((error: unknown) => {
        if (!errorMessage(error).startsWith('NOSCRIPT')) throw error
        return client.callBuffer('eval', [lua, ...rest])
      }),
    )
  }

  /** The connection for subscriptions; nothing else may be sent through it. */
  listener(): Promise<Client> {
    this.#listener ??= this.#open(true).catch((error: unknown) => {
      this.#listener = undefined
      throw error
    })
    return this.#listener
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const opening of [this.#listener, this.#client]) {
      const client = await opening?.catch(() => undefined)
      client?.disconnect()
    }
  }

  async #send(call: (client: Client) => Promise<unknown>): Promise<unknown> {
    try {
      if (this.#closed) throw new Error('the connection has been closed')
      return await within(call(await this.#commands()), commandMs)
    } catch (error) {
      throw redisError(error, placeOf(this.#settings), this.#trouble)
    }
  }

  /** What could not be opened is tried again by the next one: a file may be there by then. */
  #commands(): Promise<Client> {
    this.#client ??= this.#open(false).catch((error: unknown) => {
      this.#client = undefined
      throw error
    })
    return this.#client
  }

  async #open(listening: boolean): Promise<Client> {
    const client = await openClient(this.#settings, listening)
    // Without a listener the client would write to the console.
    client.on('error', (error: unknown) => {
      if (!listening) this.#trouble = errorMessage(error) || errorCode(error)
    })
    if (!listening)
      client.on('ready', () => {
        this.#trouble = undefined
      })
    return client
  }
}

/** Only the braces that name the slot may stand in a key as braces. */
function tag(name: string): string {
  return name.replace(/[%{}]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`)
}

/** A command that is not answered in time is left to itself; whatever it comes to is of no interest any more. */
export async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
  })
  promise.catch(() => {})
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
