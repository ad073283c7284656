import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { artefact } from './artefacts.ts'
import { freePorts } from './ports.ts'
import { newServerFolder, runFolder } from './run-folder.ts'
import { type LocalServer, startServer } from './server.ts'

export interface PostgresServer extends LocalServer {
  readonly url: string
}

/** The user and group `nobody`: PostgreSQL refuses to be run by root. */
const nobody = 65_534
/** Where the Python package `embedded-postgres` has its programs. */
const programs = 'embedded_postgres/pginstall/bin'

/**
 * The address in `POSTGRES_URL`, or that of a PostgreSQL with pgvector that is started for this process. `undefined`, with
 * the reason printed, if there is none; an error if `CI=true`.
 */
export async function findPostgres(): Promise<string | undefined> {
  if (process.env.POSTGRES_URL) return process.env.POSTGRES_URL
  return (await findPostgresServer())?.url
}

/** The same as a server of one's own, that may be stopped. */
export async function findPostgresServer(): Promise<PostgresServer | undefined> {
  const installed = installation()
  if (installed !== undefined) return startPostgres(installed)
  const reason =
    'no PostgreSQL with pgvector: the Python package embedded-postgres is not there: run test/services/install.sh'
  if (process.env.CI === 'true') throw new Error(reason)
  console.warn(reason)
  return undefined
}

/** The folder of Python packages with `embedded-postgres` in it. */
function installation(): string | undefined {
  const root = process.env.MILLRACE_TEST_PYTHON_ROOT ?? artefact('python')
  try {
    const [version] = readdirSync(join(root, 'lib')).filter((name) => name.startsWith('python3'))
    const folder = join(root, 'lib', version ?? '', 'site-packages')
    return readdirSync(join(folder, programs)).length > 0 ? folder : undefined
  } catch {
    return undefined
  }
}

async function startPostgres(installed: string): Promise<PostgresServer> {
  const [port = 0] = await freePorts(1)
  const folder = newServerFolder('postgres')
  const isRoot = process.getuid?.() === 0
  // Others cannot read what lies in root's home.
  const packages = isRoot ? folder : installed
  if (isRoot) {
    for (const part of readdirSync(installed).filter((name) => /^embedded_postgres(\.libs)?$/.test(name))) {
      cpSync(join(installed, part), join(folder, part), { recursive: true, verbatimSymlinks: true })
    }
    chmodSync(runFolder(), 0o711)
    chownSync(folder, nobody, nobody)
  }
  const as = isRoot ? ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups'] : []
  const command = (program: string, ...args: string[]) => [...as, join(packages, programs, program), ...args]
  const data = join(folder, 'data')
  const [initdb = '', ...initArgs] = command(
    'initdb',
    '-D',
    data,
    '-U',
    'postgres',
    '-E',
    'UTF8',
    '--no-sync',
    '-A',
    'trust',
  )
  execFileSync(initdb, initArgs, { cwd: folder, stdio: 'pipe' })
  const [server = '', ...args] = command(
    'postgres',
    ...['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', folder, '-F', '-c', 'max_connections=200'],
  )
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  const running = await startServer({ name: 'postgres', folder, command: server, args, ask: () => askPostgres(url) })
  return { ...running, url }
}

async function askPostgres(url: string): Promise<void> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('SELECT 1')
  } finally {
    await client.end().catch(() => undefined)
  }
}
