import { createHash } from 'node:crypto'
import { errorCode, Fatal } from '../../src/core/errors.ts'
import type { FieldType } from '../../src/core/vector-rules.ts'
import type { CollectionSpec } from '../../src/core/vector-store.ts'
import type { Database, Run } from './database.ts'
import { collectionGone } from './failure.ts'
import { type StoredCollection, storedCollection } from './rows.ts'
import { wordsFunction } from './words.ts'

/** Changes of tables take turns under this number, whatever process makes them. */
const turn = 'SELECT pg_advisory_xact_lock(7310868735422)'
/** `hnsw.iterative_scan` came with it. */
const oldestVersion = [0, 8]
const longestPlainTable = 48

/** The table that says which collections there are: which model made them, and what their fields hold. */
export class Meta {
  readonly #database: Database

  private constructor(database: Database) {
    this.#database = database
  }

  /** Throws `Fatal` (`pgvector_missing`) when the server has no extension pgvector, or one too old. */
  static async prepare(database: Database): Promise<Meta> {
    await assertUtf8(database)
    await database.transaction('preparing the schema "millrace"', async (run) => {
      await run(turn)
      await prepareExtension(run)
      await run('CREATE SCHEMA IF NOT EXISTS millrace')
      await run(`CREATE TABLE IF NOT EXISTS millrace.collections (
        name text COLLATE "C" PRIMARY KEY, table_name text NOT NULL UNIQUE, fingerprint text NOT NULL,
        dimension int NOT NULL, fields jsonb NOT NULL)`)
      await run(wordsFunction)
    })
    return new Meta(database)
  }

  async find(name: string): Promise<StoredCollection | undefined> {
    const sql = 'SELECT * FROM millrace.collections WHERE name = $1'
    const [row] = await this.#database.query(`looking for collection "${name}"`, sql, [name])
    return row === undefined ? undefined : storedCollection(row)
  }

  async all(): Promise<StoredCollection[]> {
    const rows = await this.#database.query('listing collections', 'SELECT * FROM millrace.collections ORDER BY name')
    return rows.map(storedCollection)
  }

  /** The collection of that name, made if it is not there. Its fields get those that are new, its model stays. */
  open({ name, fingerprint, dimension, fields }: CollectionSpec): Promise<StoredCollection> {
    return this.#database.transaction(`opening collection "${name}"`, async (run) => {
      await run(turn)
      const table = tableName(name)
      const made = JSON.stringify(Object.fromEntries(fields.map((field) => [field, null])))
      // What is stored stands on the right, so that types that are settled stay.
      const [row] = await run(
        `INSERT INTO millrace.collections AS stored VALUES ($1, $2, $3, $4, $5::jsonb)
         ON CONFLICT (name) DO UPDATE SET fields = CASE
           WHEN stored.fingerprint = excluded.fingerprint AND stored.dimension = excluded.dimension
           THEN excluded.fields || stored.fields ELSE stored.fields END
         RETURNING *`,
        [name, table, fingerprint, dimension, made],
      )
      const stored = storedCollection(row)
      await run(`CREATE TABLE IF NOT EXISTS millrace."${stored.table}" (
        id text COLLATE "C" PRIMARY KEY, embedding vector(${stored.dimension}) NOT NULL, fields jsonb NOT NULL,
        timestamp float8 NOT NULL, topic text NOT NULL, partition int NOT NULL, "offset" bigint NOT NULL)`)
      return stored
    })
  }

  /** Gives fields without a type the types of their first values. Answers what all fields hold from then on. */
  settle(name: string, types: readonly (readonly [string, FieldType])[]): Promise<StoredCollection['types']> {
    return this.#database.transaction(`settling fields of collection "${name}"`, async (run) => {
      const [row] = await run('SELECT * FROM millrace.collections WHERE name = $1 FOR UPDATE', [name])
      if (row === undefined) throw collectionGone(`settling fields of collection "${name}"`)
      const known = new Map(storedCollection(row).types)
      for (const [field, type] of types) known.set(field, known.get(field) ?? type)
      const fields = JSON.stringify(Object.fromEntries(known))
      await run('UPDATE millrace.collections SET fields = $2::jsonb WHERE name = $1', [name, fields])
      return [...known]
    })
  }
}

/** PostgreSQL cuts names at 63 bytes; longer ones are told apart by their hash. Characters: letters, digits, `_`, `.`, `-`. */
function tableName(name: string): string {
  if (name.length <= longestPlainTable) return `v_${name}`
  return `v_${name.slice(0, 30)}_${createHash('sha256').update(name).digest('hex').slice(0, 16)}`
}

async function assertUtf8(database: Database): Promise<void> {
  const [row] = await database.query('asking for its encoding', 'SHOW server_encoding')
  if (row?.server_encoding === 'UTF8') return
  throw new Fatal({
    code: 'vector_store_unusable',
    message: `The PostgreSQL database is encoded in ${row?.server_encoding}, and texts need UTF8. Name a database with that encoding in vectors.pgvector.url.`,
  })
}

async function prepareExtension(run: Run): Promise<void> {
  const installed = () => run("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
  let [row] = await installed()
  if (row === undefined) {
    await run('CREATE EXTENSION vector').catch((error: unknown) => {
      throw missing(`it cannot be created (${errorCode(error)})`, error)
    })
    row = (await installed())[0]
  }
  const version = String(row?.extversion)
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [leastMajor = 0, leastMinor = 0] = oldestVersion
  if (major < leastMajor || (major === leastMajor && minor < leastMinor)) throw missing(`it has version ${version}`)
}

function missing(why: string, cause?: unknown): Fatal {
  return new Fatal({
    code: 'pgvector_missing',
    message: `The PostgreSQL database needs the extension pgvector ${oldestVersion.join('.')} or newer: ${why}.`,
    hint: 'Install the package pgvector on the server and run `CREATE EXTENSION vector` (or ALTER EXTENSION vector UPDATE) in the database as a superuser.',
    cause,
  })
}
