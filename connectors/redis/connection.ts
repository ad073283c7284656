import type { Cluster, Redis } from 'ioredis'
import { errorCode, errorMessage, Fatal } from '../../src/core/errors.ts'
import { redisError } from './errors.ts'
import type { Script } from './script.ts'

/** Where Redis is: one server, the primary that Sentinels name, or a cluster. Exactly one of the three is given. */
export interface RedisSettings {
  /** `redis://` or, for TLS, `rediss://`. */
  readonly url?: string | undefined
  /** `host:port` of the Sentinels, and the name by which they know the primary. */
  readonly sentinels?: readonly string[] | undefined
  readonly name?: string | undefined
  /** `host:port` of some nodes of a cluster. */
  readonly cluster?: readonly string[] | undefined
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly ssl?: boolean | undefined
  /** What the names of all keys begin with. Default `millrace`. */
  readonly prefix?: string | undefined
}

export type Argument = string | number | Buffer
type Client = Redis | Cluster

/** The longest that a command may take, the time to connect included. */
const commandMs = 5_000
const connectMs = 3_000
/** Attempts to connect after which the commands that wait are given up; their callers try again. */
const attempts = 3
const longestPauseMs = 1_000

/** The connections of one process to one Redis: one for commands, one for subscriptions. Made when first needed. */
export class Connection {
  readonly prefix: string
  readonly clustered: boolean
  readonly #settings: RedisSettings
  #client: Promise<Client> | undefined
  #listener: Promise<Client> | undefined
  #closed = false

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
    return this.#send(command, (client) => client.call(command, [...args]))
  }

  /** A command whose reply has texts as bytes. */
  bytes(command: string, args: readonly Argument[]): Promise<unknown> {
    return this.#send(command, (client) => client.callBuffer(command, [...args]))
  }

  /** Runs a script; its reply has texts as bytes. All keys must lie in one slot. */
  run({ sha, lua }: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    const rest = [keys.length, ...keys, ...args]
    return this.#send('evalsha', (client) =>
      client.callBuffer('evalsha', [sha, ...rest]).catch((error: unknown) => {
        if (!errorMessage(error).startsWith('NOSCRIPT')) throw error
        return client.callBuffer('eval', [lua, ...rest])
      }),
    )
  }

  /** The connection for subscriptions; nothing else may be sent through it. */
  async listener(): Promise<Client> {
    this.#listener ??= this.#open(true)
    return this.#listener
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const opening of [this.#listener, this.#client]) {
      const client = await opening?.catch(() => undefined)
      client?.disconnect()
    }
  }

  async #send(command: string, call: (client: Client) => Promise<unknown>): Promise<unknown> {
    try {
      if (this.#closed) throw new Error('the connection has been closed')
      this.#client ??= this.#open(false)
      return await within(call(await this.#client), commandMs)
    } catch (error) {
      throw redisError(error, `answer ${command}`)
    }
  }

  async #open(listening: boolean): Promise<Client> {
    const sdk = await loadSdk()
    const client = connect(sdk, this.#settings, listening)
    // Each command tells its own failure; without a listener the client would write to the console.
    client.on('error', () => {})
    return client
  }
}

type Sdk = Pick<typeof import('ioredis'), 'Redis' | 'Cluster'>

async function loadSdk(): Promise<Sdk> {
  try {
    return await import('ioredis')
  } catch (error) {
    if (errorCode(error) !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new Fatal({
      code: 'package_missing',
      message: 'The client for Redis is not installed.',
      hint: 'Install it with `npm install ioredis`.',
      cause: error,
    })
  }
}

function connect(sdk: Sdk, settings: RedisSettings, listening: boolean): Client {
  const { url, sentinels, name, cluster, username, password, ssl } = settings
  const tls = ssl === true ? { tls: {} } : {}
  const login = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  }
  const options = {
    ...login,
    lazyConnect: true,
    connectTimeout: connectMs,
    // A subscription waits for as long as it takes; a command is given up, and tried again by its caller.
    maxRetriesPerRequest: listening ? null : attempts,
    retryStrategy: pause,
    reconnectOnError: resendElsewhere,
    connectionName: listening ? 'millrace-listener' : 'millrace',
  }
  if (cluster !== undefined) {
    return new sdk.Cluster(cluster.map(address), {
      lazyConnect: true,
      clusterRetryStrategy: pause,
      redisOptions: { ...login, ...tls, connectTimeout: connectMs },
      slotsRefreshTimeout: connectMs,
      retryDelayOnFailover: 200,
      retryDelayOnClusterDown: 200,
    })
  }
  if (sentinels !== undefined) {
    return new sdk.Redis({
      ...options,
      ...tls,
      ...(ssl === true ? { sentinelTLS: {}, enableTLSForSentinelMode: true } : {}),
      sentinels: sentinels.map(address),
      ...(name === undefined ? {} : { name }),
      sentinelRetryStrategy: pause,
      failoverDetector: true,
    })
  }
  return new sdk.Redis(url ?? '', { ...options, ...tls })
}

/** A primary that has become a replica refuses to write: what it refused is sent again to whoever is the primary now. */
function resendElsewhere(error: Error): 2 | false {
  return error.message.startsWith('READONLY') ? 2 : false
}

function pause(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt - 1, 10), longestPauseMs) * (0.75 + Math.random() / 2)
}

/** `host:port`, where an IPv6 host stands in brackets. */
function address(text: string): { host: string; port: number } {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text) ?? []
  const host = bracketed ?? plain
  if (host !== undefined && port !== undefined) return { host, port: Number(port) }
  throw new Fatal({ code: 'bad_address', message: `"${text}" under \`redis:\` is no address; expected host:port.` })
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
