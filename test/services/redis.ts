import { once } from 'node:events'
import { connect } from 'node:net'
import { missingCommand } from './artefacts.ts'
import { freePorts } from './ports.ts'
import { newServerFolder } from './run-folder.ts'
import { type LocalServer, startServer } from './server.ts'

export interface RedisServer extends LocalServer {
  /** `redis://host:port` */
  readonly url: string
}

export interface RedisOptions {
  /** Settings as on Redis's command line: `{ maxmemory: '64mb' }`. */
  readonly settings?: Readonly<Record<string, string>>
}

export const redisMissing = (): Promise<string | undefined> => missingCommand('redis-server', '--version')

/** A Redis whose writes are on disk before they are answered, so that they survive `kill()`. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const [port = 0] = await freePorts(1)
  const folder = newServerFolder('redis')
  const settings = {
    bind: '127.0.0.1',
    port: String(port),
    dir: folder,
    save: '',
    appendonly: 'yes',
    appendfsync: 'always',
    ...options.settings,
  }
  const server = await startServer({
    name: 'redis',
    folder,
    command: 'redis-server',
    args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, ...words(value)]),
    ask: () => askRedis(port, options.settings?.requirepass),
  })
  return { ...server, url: `redis://127.0.0.1:${port}` }
}

/** The redis-server takes a setting of several words as several arguments. */
const words = (value: string): string[] => (value === '' ? [''] : value.split(' '))

/** An inline command of RESP; a server that loads its data yet answers `-LOADING`. */
export async function askRedis(port: number, password?: string): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  try {
    socket.setTimeout(2_000, () => socket.destroy(new Error('no answer')))
    socket.write(password === undefined ? 'PING\r\n' : `AUTH ${password}\r\n`)
    const [answer] = await once(socket, 'data')
    if (!/^\+(PONG|OK)/.test(String(answer))) throw new Error(String(answer))
  } finally {
    socket.destroy()
  }
}
