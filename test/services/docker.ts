import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { freePorts } from './ports.ts'
import { recordContainer } from './run-folder.ts'

const run = promisify(execFile)
const engineTimeoutMs = 3_000
const startTimeoutMs = 180_000

/** How a server is started as a container: with the port it is published on, since some have to announce it. */
export interface Image {
  readonly name: string
  readonly port: number
  readonly command?: readonly string[]
  readonly environment?: (port: number) => Record<string, string>
}

/** Whether a Docker engine answers; having the client alone is not enough. */
export async function dockerAnswers(): Promise<boolean> {
  try {
    await run('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: engineTimeoutMs })
    return true
  } catch {
    return false
  }
}

/** Starts a container that lives until the run's folder is closed, and answers its port on 127.0.0.1. */
export async function startContainer(image: Image): Promise<number> {
  // The reaper would end it with the process that started it; it is shared by all processes of the run.
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true'
  const { GenericContainer } = await import('testcontainers')
  const [port = 0] = await freePorts(1)
  const container = await new GenericContainer(image.name)
    .withExposedPorts({ container: image.port, host: port })
    .withEnvironment(image.environment?.(port) ?? {})
    .withCommand([...(image.command ?? [])])
    .withStartupTimeout(startTimeoutMs)
    .start()
  recordContainer(container.getId())
  return port
}
