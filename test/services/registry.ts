import { existsSync, readdirSync } from 'node:fs'
import { artefact, missingArtefact, missingCommand } from './artefacts.ts'
import { freePorts } from './ports.ts'
import { newServerFolder } from './run-folder.ts'
import { type LocalServer, startServer } from './server.ts'

export interface RegistryServer extends LocalServer {
  /** The address of the Confluent-compatible API. */
  readonly url: string
}

export interface RegistryOptions {
  /** Further environment variables of the server. */
  readonly environment?: Readonly<Record<string, string>>
}

/** Where Apicurio serves what Confluent's registry serves at its root. */
export const compatiblePath = '/apis/ccompat/v7'

export async function registryMissing(): Promise<string | undefined> {
  return runner() === undefined ? missingArtefact('registry', 'runner.jar') : await missingCommand('java', '-version')
}

/** A Confluent-compatible registry. It keeps its schemas in memory: they do not survive its end. */
export async function startRegistry(options: RegistryOptions = {}): Promise<RegistryServer> {
  const [port = 0] = await freePorts(1)
  const url = `http://127.0.0.1:${port}${compatiblePath}`
  const server = await startServer({
    name: 'registry',
    folder: newServerFolder('registry'),
    command: 'java',
    args: [
      ...['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'],
      ...['-Dquarkus.http.host=127.0.0.1', `-Dquarkus.http.port=${port}`],
      ...['-jar', runner() ?? 'runner.jar'],
    ],
    ...(options.environment === undefined ? {} : { environment: options.environment }),
    ask: () => askRegistry(url),
  })
  return { ...server, url }
}

export async function askRegistry(url: string): Promise<void> {
  const response = await fetch(`${url}/subjects`, { signal: AbortSignal.timeout(2_000) })
  if (!response.ok || !Array.isArray(await response.json())) throw new Error(`status ${response.status}`)
}

function runner(): string | undefined {
  const folder = artefact('registry')
  const file = existsSync(folder) ? readdirSync(folder).find((name) => name.endsWith('-runner.jar')) : undefined
  return file === undefined ? undefined : artefact('registry', file)
}
