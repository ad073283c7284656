import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { drainPending, Session } from 'chdb'

export interface ClickHouseServer {
  readonly url: string
  stop(): Promise<void>
}

const httpOnly = new Set([
  'query',
  'database',
  'query_id',
  'wait_end_of_query',
  'enable_http_compression',
  'cancel_http_readonly_queries_on_client_close',
  'http_headers_progress_interval_ms',
  'send_progress_in_http_headers',
  'http_response_buffer_size',
])
/** Each query that runs holds a thread of libuv's pool of four, and inserts need one too. */
const mostReads = 2

/**
 * ClickHouse's HTTP interface as its client uses it, in front of chDB: the client's requests are real, and so are the answers of
 * the engine. Not here: users, compression, sessions, and the end of a query whose client has gone.
 */
export async function startClickHouseHttp(): Promise<ClickHouseServer> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-clickhouse-http-'))
  const root = new Session(folder)
  let reading = 0
  const waiting: (() => void)[] = []

  const limited = async <T>(work: () => Promise<T>): Promise<T> => {
    if (reading >= mostReads) await new Promise<void>((resolve) => waiting.push(resolve))
    reading += 1
    try {
      return await work()
    } finally {
      reading -= 1
      waiting.shift()?.()
    }
  }

  const run = async (request: IncomingMessage): Promise<Uint8Array> => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    const body = await text(request)
    const given = url.searchParams.get('query')
    const sql = given === null ? body : `${given}\n${body}`
    // A session of its own for each request, as settings stay with a session.
    const session = new Session(folder)
    const params: Record<string, string | string[] | null> = {}
    try {
      const settings: string[] = []
      for (const [name, value] of url.searchParams) {
        if (name.startsWith('param_')) params[name.slice('param_'.length)] = parameterOf(value)
        else if (!httpOnly.has(name)) settings.push(`SET ${name} = '${value}'`)
      }
      // ClickHouse checks all settings of a request before it applies any.
      settings.sort((a, b) => Number(a.includes(' readonly ')) - Number(b.includes(' readonly ')))
      const database = url.searchParams.get('database')
      if (database !== null) await session.queryAsync(`USE ${database}`)
      for (const setting of settings) await session.queryAsync(setting)
      const result = /^\s*INSERT/i.test(sql)
        ? await session.queryAsync(sql)
        : await limited(() => session.queryBindAsync(sql, params))
      return result.bytes()
    } finally {
      session.close()
    }
  }

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    try {
      if (request.url === '/ping') return void response.end('Ok.\n')
      response.end(await run(request))
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      const code = message.match(/^Code: (\d+)/)?.[1] ?? '1002'
      response.writeHead(500, { 'X-ClickHouse-Exception-Code': code }).end(message)
    }
  }

  const server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${portOf(server.address())}`,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      root.close()
      await drainPending()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** Parameters come as in a tab-separated file; chDB escapes what it is given once more. Lists: of texts alone. */
function parameterOf(value: string): string | string[] | null {
  if (value === '\\N') return null
  if (!value.startsWith("['")) return withoutEscapes(value)
  return [...value.matchAll(/'((?:[^'\\]|\\.)*)'/gs)].map(([, item = '']) => withoutEscapes(item))
}

function withoutEscapes(text: string): string {
  const signs: Record<string, string> = { n: '\n', t: '\t', r: '\r', 0: '\0', b: '\b', f: '\f' }
  return text.replace(/\\(.)/gs, (_, sign: string) => signs[sign] ?? sign)
}

function portOf(address: AddressInfo | string | null): number {
  if (typeof address !== 'object' || address === null) throw new Error('the server does not listen')
  return address.port
}
