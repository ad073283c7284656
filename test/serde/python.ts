import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { z } from 'zod'

const answer = z.object({
  bytes: z.array(z.string()).optional(),
  values: z.array(z.json()).optional(),
  error: z.string().optional(),
})

/** Confluent's Python client in a process of its own, which takes one request after the other. */
export class PythonClient {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #lines: AsyncIterator<string>
  #errors = ''

  constructor(python: string, registry: string) {
    this.#process = spawn(python, [join(import.meta.dirname, 'confluent.py'), registry])
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]()
    this.#process.stderr.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString()
    })
  }

  /** The values as the client's serializer writes them, registering their schema on the way. */
  async write(request: Readonly<Record<string, unknown>>): Promise<Uint8Array[]> {
    const { bytes = [] } = await this.#ask({ do: 'write', ...request })
    return bytes.map((text) => Buffer.from(text, 'base64'))
  }

  async read(request: Readonly<Record<string, unknown>>, bytes: readonly Uint8Array[]) {
    const texts = bytes.map((value) => Buffer.from(value).toString('base64'))
    return (await this.#ask({ do: 'read', ...request, bytes: texts })).values ?? []
  }

  close(): void {
    this.#process.kill()
  }

  async #ask(request: unknown): Promise<z.infer<typeof answer>> {
    this.#process.stdin.write(`${JSON.stringify(request)}\n`)
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error(`the Python client has ended: ${this.#errors}`)
    const parsed = answer.parse(JSON.parse(value))
    if (parsed.error !== undefined) throw new Error(`the Python client says ${parsed.error}`)
    return parsed
  }
}
