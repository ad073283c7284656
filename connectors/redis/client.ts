import { readFile } from 'node:fs/promises'
import type { ConnectionOptions } from 'node:tls'
import type { Cluster, Redis } from 'ioredis'
import { errorCode, errorMessage, Fatal } from '../../src/core/errors.ts'

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
  /** Speak TLS, also where it is not in a url. */
  readonly ssl?: boolean | undefined
  /** PEM files: the authorities that are trusted instead of those that Node knows, and what TLS shows of this process. */
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** What the names of all keys begin with. Default `millrace`. */
  readonly prefix?: string | undefined
}

export type Client = Redis | Cluster

const connectMs = 3_000
/** Silence for so long, while an answer is awaited, means that the connection is dead: the next one may find a server. */
const silenceMs = 5_000
const nodePort = 6_379
const sentinelPort = 26_379
/** Attempts to connect after which the commands that wait are given up; their callers try again. */
const attempts = 3
const longestPauseMs = 1_000

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

/** A client that connects with its first command. Throws `Fatal` for settings that cannot be used. */
export async function openClient(settings: RedisSettings, listening: boolean): Promise<Client> {
  return connect(await loadSdk(), settings, await tlsOf(settings), listening)
}

/** Where the settings lead, without credentials, for messages. */
export function placeOf({ url, sentinels, name, cluster }: RedisSettings): string {
  if (cluster !== undefined) return `the cluster at ${cluster.join(', ')}`
  if (sentinels !== undefined) return `"${name}" of the Sentinels at ${sentinels.join(', ')}`
  return url !== undefined && URL.canParse(url) ? new URL(url).host : 'an address that is none'
}

/** Undefined for a connection in the clear. */
async function tlsOf({ url, ssl, ca, cert, key }: RedisSettings): Promise<ConnectionOptions | undefined> {
  if (ssl !== true && url?.startsWith('rediss:') !== true) return undefined
  const options: ConnectionOptions = {}
  if (ca !== undefined) options.ca = await pemFile(ca)
  if (cert !== undefined) options.cert = await pemFile(cert)
  if (key !== undefined) options.key = await pemFile(key)
  return options
}

async function pemFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    const message = `The file ${path}, named under \`redis:\`, cannot be read: ${errorMessage(error)}`
    throw new Fatal({ code: 'bad_certificate_file', message, cause: error })
  }
}

function connect(sdk: Sdk, settings: RedisSettings, secure: ConnectionOptions | undefined, listening: boolean): Client {
  const { url, sentinels, name, cluster, username, password } = settings
  const tls = secure === undefined ? {} : { tls: secure }
  const login = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  }
  const options = {
    ...login,
    lazyConnect: true,
    connectTimeout: connectMs,
    socketTimeout: silenceMs,
    // A subscription waits for as long as it takes; a command is given up, and tried again by its caller.
    maxRetriesPerRequest: listening ? null : attempts,
    retryStrategy: pause,
    reconnectOnError: refusesToWrite,
    connectionName: listening ? 'millrace-listener' : 'millrace',
  }
  if (cluster !== undefined) {
    return new sdk.Cluster(
      cluster.map((node) => address(node, nodePort)),
      {
        lazyConnect: true,
        clusterRetryStrategy: pause,
        redisOptions: { ...login, ...tls, connectTimeout: connectMs, socketTimeout: silenceMs },
        slotsRefreshTimeout: connectMs,
        retryDelayOnFailover: 200,
        retryDelayOnClusterDown: 200,
      },
    )
  }
  if (sentinels !== undefined) {
    return new sdk.Redis({
      ...options,
      ...tls,
      ...(secure === undefined ? {} : { sentinelTLS: secure, enableTLSForSentinelMode: true }),
      sentinels: sentinels.map((sentinel) => address(sentinel, sentinelPort)),
      ...(name === undefined ? {} : { name }),
      sentinelRetryStrategy: pause,
      sentinelCommandTimeout: connectMs,
      failoverDetector: true,
    })
  }
  return new sdk.Redis(url ?? '', { ...options, ...tls })
}

/** A primary that has become a replica refuses to write: a new connection leads to whoever is the primary now. */
function refusesToWrite(error: Error): boolean {
  return /\bREADONLY\b/.test(error.message)
}

function pause(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt - 1, 10), longestPauseMs) * (0.75 + Math.random() / 2)
}

/** `host:port` or `host` alone, where an IPv6 host stands in brackets. */
function address(text: string, usual: number): { host: string; port: number } {
  const [, bracketed, plain, port = usual] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? []
  const host = bracketed ?? plain
  if (host !== undefined) return { host, port: Number(port) }
  throw new Fatal({ code: 'bad_address', message: `"${text}" under \`redis:\` is no address; expected host:port.` })
}
