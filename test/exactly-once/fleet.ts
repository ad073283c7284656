import { mkdir, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { launch, type RunningCli } from '../support/cli.ts'

export interface FleetOptions {
  /** Where each process gets a folder of its own. */
  readonly folder: string
  readonly pipeline: string
  readonly env: Readonly<Record<string, string>>
  readonly journal: boolean
}

/** Of the built product, whose modules it changes. */
const withoutJournal = join(
  dirname(createRequire(import.meta.url).resolve('#millrace')),
  '../../test/exactly-once/without-journal.js',
)

type Process = Omit<RunningCli, 'address'>

/** Millrace processes that run the same pipeline, as on the machines of a cluster. */
export class Fleet {
  readonly #options: FleetOptions
  readonly #members = new Map<string, Process>()
  #started = 0

  constructor(options: FleetOptions) {
    this.#options = options
  }

  get names(): string[] {
    return [...this.#members.keys()]
  }

  /** What every process has printed in its last life, for whoever has to find out what went wrong. */
  outputs(): string {
    return [...this.#members].map(([name, member]) => `--- ${name}\n${member.stdout()}\n${member.stderr()}`).join('\n')
  }

  async add(): Promise<string> {
    this.#started += 1
    const name = `process-${this.#started}`
    const cwd = join(this.#options.folder, name)
    await mkdir(join(cwd, 'pipelines'), { recursive: true })
    await writeFile(join(cwd, 'pipelines/orders.yaml'), this.#options.pipeline)
    this.#members.set(name, this.#launch(name))
    return name
  }

  /** SIGKILL, and a new life in the same folder. */
  async kill(name: string): Promise<void> {
    const member = this.#known(name)
    member.kill('SIGKILL')
    await member.exited
    this.#members.set(name, this.#launch(name))
  }

  /** SIGSTOP: the process stands still, and the others take its partitions over. */
  pause(name: string): void {
    this.#known(name).kill('SIGSTOP')
  }

  /** SIGCONT: it goes on, and does not know how long it stood still. */
  resume(name: string): void {
    this.#known(name).kill('SIGCONT')
  }

  /** SIGTERM: it finishes what it has read, and leaves. */
  async remove(name: string): Promise<void> {
    const member = this.#known(name)
    member.kill('SIGTERM')
    const { code, signal } = await member.exited
    // One that had hardly begun to start has nothing to finish, and ends by the signal.
    if (code !== 0 && signal !== 'SIGTERM') throw new Error(`${name} ended with ${code}\n${member.stderr()}`)
    this.#members.delete(name)
  }

  async close(): Promise<void> {
    for (const member of this.#members.values()) member.kill('SIGKILL')
    await Promise.all([...this.#members.values()].map(({ exited }) => exited))
  }

  #launch(name: string): Process {
    const { folder, env, journal } = this.#options
    const options = journal ? {} : { NODE_OPTIONS: `--import ${pathToFileURL(withoutJournal)}` }
    return launch(['run'], { cwd: join(folder, name), env: { ...env, ...options } })
  }

  #known(name: string): Process {
    const member = this.#members.get(name)
    if (!member) throw new Error(`there is no process ${name}`)
    return member
  }
}
