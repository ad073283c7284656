import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { drainPending, Session } from 'chdb'
import { quoteString } from '../../src/core/clickhouse/sql.ts'

/** Each query that runs holds a thread of libuv's pool, and inserts need one too. */
const mostReads = 2

export interface EngineOptions {
  readonly folder: string
  /** The name of a cluster of one shard, which is this engine. */
  readonly cluster?: string | undefined
}

export interface Request {
  /** The statement, without the rows of an INSERT when they are in `body`. */
  readonly sql: string
  readonly body: Buffer | undefined
  readonly database: string | undefined
  readonly settings: ReadonlyMap<string, string>
  readonly params: ReadonlyMap<string, string>
}

/** chDB as ClickHouse's HTTP interface needs it. */
export interface ServerEngine {
  run(request: Request): Promise<Uint8Array>
  close(): Promise<void>
}

export async function openServerEngine({ folder, cluster }: EngineOptions): Promise<ServerEngine> {
  const config = join(folder, 'config', 'config.xml')
  await mkdir(join(folder, 'config'), { recursive: true })
  await writeFile(config, cluster === undefined ? '<clickhouse></clickhouse>' : clusterConfig(cluster))
  const root = new Session(folder, { connectionArgs: [`--config-file=${config}`] })
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

  const insertRaw = async ({ table, columns, settings }: RawInsert, values: Buffer): Promise<Uint8Array> => {
    await root.insert({ table, columns, settings, values, format: 'JSONCompactEachRow' })
    return new Uint8Array()
  }

  const runApart = async ({ sql, body, database, settings, params }: Request): Promise<Uint8Array> => {
    // A session of its own for each request, as settings stay with a session.
    const session = new Session(folder)
    try {
      if (database !== undefined) await session.queryAsync(`USE \`${database}\``)
      const entries = [...settings]
      // ClickHouse checks all settings of a request before it applies any.
      entries.sort(([a], [b]) => Number(a === 'readonly') - Number(b === 'readonly'))
      for (const [name, value] of entries) await session.queryAsync(`SET ${name} = ${quoteString(value)}`)
      const bound = Object.fromEntries([...params].map(([name, value]) => [name, parameterOf(value)]))
      const whole = body === undefined ? sql : `${sql}\n${body.toString()}`
      const result = /^\s*INSERT/i.test(sql)
        ? await session.queryAsync(whole)
        : await limited(() => session.queryBindAsync(whole, bound))
      return result.bytes()
    } finally {
      session.close()
    }
  }

  return {
    run: async (request) => {
      const raw = request.body === undefined || request.settings.size > 0 ? undefined : rawInsert(request.sql)
      return raw === undefined || request.body === undefined
        ? await runApart(request)
        : await insertRaw(raw, request.body)
    },
    close: async () => {
      root.close()
      await drainPending()
    },
  }
}

interface RawInsert {
  readonly table: string
  readonly columns: string[]
  readonly settings: Record<string, string | number>
}

const insertForm = /^INSERT INTO `(\w+)`\.`(\w+)` \((`\w+`(?:, `\w+`)*)\) SETTINGS (.*) FORMAT JSONCompactEachRow$/s
const settingForm = /(\w+) = (?:(\d+)|'((?:[^'\\]|\\.)*)')(?:, |$)/gs

/** An INSERT in the form that hands the rows to the engine without copying them; undefined for any other. */
function rawInsert(sql: string): RawInsert | undefined {
  const match = insertForm.exec(sql)
  if (match === null) return undefined
  const [, database, table, columns = '', given = ''] = match
  const settings: Record<string, string | number> = {}
  for (const [, name = '', number, text = ''] of given.matchAll(settingForm))
    settings[name] = number === undefined ? withoutEscapes(text) : Number(number)
  return { table: `${database}.${table}`, columns: columns.replaceAll('`', '').split(', '), settings }
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

function clusterConfig(cluster: string): string {
  const replica = '<replica><host>127.0.0.1</host><port>9000</port></replica>'
  return `<clickhouse>
  <tcp_port>9000</tcp_port>
  <remote_servers><${cluster}><shard><internal_replication>true</internal_replication>${replica}</shard></${cluster}></remote_servers>
  <macros><shard>1</shard><replica>one</replica></macros>
</clickhouse>
`
}
