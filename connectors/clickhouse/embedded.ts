import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type ClickHouseClient, type ClickHouseClientConfigOptions, createClient } from '@clickhouse/client'
import { quoteString } from '../../src/core/clickhouse/sql.ts'
import { errorMessage, Fatal } from '../../src/core/errors.ts'
import {
  type CompactResult,
  compactResult,
  type Engine,
  limitSettings,
  type Parameters,
  type QueryLimits,
  readSettings,
} from './engine.ts'
import { serverError } from './errors.ts'
import { Slots } from './slots.ts'

const database = 'millrace'
/** Each running call holds a thread of libuv's pool of four, which files and LMDB need as well. */
const readerCount = 2
const longestQueue = 256

/** The rights of a connection depend on its role: `writer`, or none, which leaves reading the tables. */
const users = `<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <roles><writer><grants><query>GRANT ALL ON *.*</query></grants></writer></roles>
  <users><default>
    <password></password>
    <networks><ip>::/0</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
    <grants><query>GRANT SELECT ON ${database}.*</query><query>GRANT writer</query></grants>
  </default></users>
</clickhouse>
`

/**
 * chDB: ClickHouse in this process, its data in `folder`.
 *
 * The engine is one per process and folder: a second folder in the same process, or a second process on the folder,
 * is refused. Its connections share the data and run side by side, while the statements of one connection run
 * one after the other. A setting stays with its connection, so each connection keeps to one kind of work:
 * one inserts, one defines (and ends queries that nobody waits for any more), the others read, with few rights.
 */
export async function openEmbedded(folder: string, limits: QueryLimits): Promise<Engine> {
  const path = resolve(folder)
  const chdb = await loadChdb()
  const config = await writeConfig(path)
  const root = openSession(() => new chdb.Session(path, { connectionArgs: [`--config-file=${config}`] }), path)
  const connect = async (setup: readonly string[]): Promise<ClickHouseClient> => {
    const client = createClient({ connection: asConnection(chdb.createChdbConnection({ path })) })
    for (const statement of setup) await client.command({ query: statement })
    return client
  }
  const writing = ['SET ROLE writer', `CREATE DATABASE IF NOT EXISTS ${database}`, `USE ${database}`]
  const reading = [`USE ${database}`, ...settingStatements(limits), 'SET ROLE NONE']
  const administrator = await connect(writing)
  const writer = await connect(writing)
  const readers = await Promise.all(
    Array.from({ length: readerCount }, () => connect([...reading, 'SET readonly = 1'])),
  )
  // The filter is a setting, and this connection is given another one for each query.
  const filteringReader = await connect([...reading, 'SET readonly = 2'])

  const administrators = new Slots([administrator], longestQueue)
  const writers = new Slots([writer], longestQueue)
  const readerSlots = new Slots(readers, longestQueue)
  const filteringSlots = new Slots([filteringReader], longestQueue)
  const end = (mark: string) =>
    administrators.use((client) =>
      client.command({ query: `KILL QUERY WHERE startsWith(query, ${quoteString(mark)}) ASYNC` }),
    )

  return {
    name: 'ClickHouse',
    database,
    cluster: undefined,
    shared: false,
    // An insert that was answered is on the disk, not only with the operating system.
    tableSettings: { fsync_after_insert: 1, fsync_part_directory: 1 },
    administer: (work) => administrators.use((client) => leavingNothing(client, work)),
    write: (work) => writers.use(work),
    read: (sql, params, signal, filters) =>
      (filters === undefined ? readerSlots : filteringSlots).use(
        (reader) =>
          leavingNothing(reader, async (client) => {
            if (filters !== undefined) {
              await client.command({ query: `SET additional_table_filters = ${quoteString(filters)}` })
            }
            return readOne(client, sql, params, signal, end)
          }),
        signal,
      ),
    close: async () => {
      await Promise.all([administrators, writers, readerSlots, filteringSlots].map((slots) => slots.idle()))
      for (const client of [administrator, writer, ...readers, filteringReader]) await client.close()
      root.close()
    },
  }
}

/**
 * What a query had put out before it failed stays in its connection, and would stand before the result of the next one.
 * Another query takes it away.
 */
async function leavingNothing<T>(client: ClickHouseClient, work: (client: ClickHouseClient) => Promise<T>): Promise<T> {
  try {
    return await work(client)
  } catch (error) {
    await client.command({ query: 'SELECT 1' }).catch(() => undefined)
    throw error
  }
}

/** A call into the engine cannot be interrupted, so its query is ended from beside, and the reader is free only after that. */
async function readOne(
  client: ClickHouseClient,
  sql: string,
  params: Parameters | undefined,
  signal: AbortSignal | undefined,
  end: (mark: string) => Promise<unknown>,
): Promise<CompactResult> {
  const mark = `/* ${randomUUID()} */`
  const abort = () => void end(mark).catch(() => undefined)
  signal?.addEventListener('abort', abort, { once: true })
  try {
    const query_params = params === undefined ? {} : { ...params }
    const result = await client.query({ query: `${mark} ${sql}`, format: 'JSONCompact', query_params })
    return compactResult(await result.json())
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

function settingStatements(limits: QueryLimits): string[] {
  const settings = Object.entries({ ...readSettings, ...limitSettings(limits) })
  return settings.map(([name, value]) => `SET ${name} = ${quoteString(String(value))}`)
}

async function loadChdb() {
  try {
    const [{ Session }, { createChdbConnection }] = await Promise.all([import('chdb'), import('chdb/connection')])
    return { Session, createChdbConnection }
  } catch (error) {
    throw new Fatal({
      code: 'chdb_missing',
      message: `The embedded ClickHouse cannot be loaded: ${errorMessage(error)}`,
      hint: 'Install it with `npm install chdb` (Linux with glibc, or macOS), or set clickhouse.url to use a server.',
      cause: error,
    })
  }
}

type Connection = NonNullable<ClickHouseClientConfigOptions['connection']>

/** chDB declares its connection against another copy of the client's types. */
function asConnection(connection: object): Connection {
  if (!isConnection(connection))
    throw new Fatal({ code: 'chdb_mismatch', message: 'This chdb does not fit @clickhouse/client' })
  return connection
}

function isConnection(connection: object): connection is Connection {
  return ['query', 'exec', 'command', 'insert', 'ping', 'close'].every((name) => name in connection)
}

async function writeConfig(path: string): Promise<string> {
  const folder = join(path, 'config')
  const usersFile = join(folder, 'users.xml')
  const file = join(folder, 'config.xml')
  try {
    await mkdir(folder, { recursive: true })
    await writeFile(usersFile, users)
    await writeFile(file, `<clickhouse><users_config>${escapeXml(usersFile)}</users_config></clickhouse>\n`)
  } catch (error) {
    const message = `The folder of the embedded ClickHouse, ${path}, cannot be written: ${errorMessage(error)}`
    throw new Fatal({ code: 'analytics_folder', message, cause: error })
  }
  return file
}

function escapeXml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}

function openSession<S>(open: () => S, path: string): S {
  try {
    return open()
  } catch (error) {
    const { message } = serverError(error)
    const own = message.includes('one active data directory')
    throw new Fatal({
      code: own ? 'analytics_open' : 'analytics_locked',
      message: `The embedded ClickHouse cannot open ${path}: ${message}`,
      hint: own
        ? 'A process can open one folder: close the other one first.'
        : 'Another process has it open: stop that one, talk to it, or choose another data folder.',
      cause: error,
    })
  }
}
