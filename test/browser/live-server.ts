import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePorts } from '../services/ports.ts'
import { type RunningCli, startCli, tempFolder } from '../support/cli.ts'

/** A Millrace with a pipeline that pushes the topic `notes` to the channel `notes`, on a port that stays the same. */
export interface LiveServer extends AsyncDisposable {
  readonly address: string
  /** Appends a note for each text, in this order, under `key` if one is given. */
  publish(texts: readonly string[], key?: string): Promise<void>
  /** Ends the process and waits for it. */
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
  start(): Promise<void>
}

export const notesPipeline = `
name: notes
source: { topic: notes }
sinks:
  - live: notes
`

export interface LiveServerOptions {
  readonly pipeline?: string
  /** Further files, by their path. */
  readonly files?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
}

export async function startLiveServer({
  pipeline = notesPipeline,
  files = {},
  env = {},
}: LiveServerOptions = {}): Promise<LiveServer> {
  const folder = await tempFolder()
  for (const [path, text] of Object.entries({ 'pipelines/notes.yaml': pipeline, ...files })) {
    await mkdir(join(folder.path, path, '..'), { recursive: true })
    await writeFile(join(folder.path, path), text)
  }
  const [port = 0] = await freePorts(1)
  const launch = () => startCli(['run'], { cwd: folder.path, env: { MILLRACE_SERVER_PORT: String(port), ...env } })
  let running: RunningCli = await launch()
  const { address } = running
  return {
    address,
    publish: async (texts, key) => {
      const events = texts.map((text) => ({ text, key: key ?? text }))
      const response = await fetch(`${address}/v1/topics/notes/events?key=/key`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(events),
      })
      if (!response.ok) throw new Error(await response.text())
    },
    stop: async (signal) => {
      running.kill(signal)
      await running.exited
    },
    start: async () => {
      running = await launch()
    },
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}
