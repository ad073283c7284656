import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'

const bodySchema = z.object({
  model: z.string(),
  input: z.array(z.string()),
  encoding_format: z.enum(['float', 'base64']).default('float'),
  dimensions: z.int().optional(),
})
export type EmbeddingBody = z.infer<typeof bodySchema>

export interface Asked {
  readonly body: EmbeddingBody
  readonly headers: IncomingMessage['headers']
  /** By the clock of `performance.now`. */
  readonly at: number
}

/** What to answer in place of vectors. `json` is given the right answer, to be spoilt. */
export interface Fault {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: (right: RightAnswer) => unknown
  readonly delayMs?: number
  /** Answers no sooner than this. */
  readonly after?: Promise<unknown>
  /** Closes the connection without an answer. */
  readonly hangUp?: boolean
}

export interface RightAnswer {
  readonly data: readonly { readonly index: number; readonly embedding: number[] | string }[]
  readonly usage: { readonly prompt_tokens: number }
}

export interface FakeOptions {
  /** Asked for each request, from 0 on, the probe at the opening included. */
  readonly fault?: (asked: Asked, count: number) => Fault | undefined
  readonly width?: number
  /** What it does about `dimensions`: as OpenAI's newer models, as most servers, as OpenAI's older models. */
  readonly dimensions?: 'honoured' | 'ignored' | 'refused' | undefined
  readonly base64?: 'honoured' | 'ignored' | 'refused'
  /** A request with a text that holds this is refused with 400. */
  readonly poison?: string
  readonly delayMs?: number
}

/** An embeddings server in the form of OpenAI's. Its vectors say nothing of meaning: each follows from the letters. */
export class FakeOpenAi {
  readonly asked: Asked[] = []
  mostAtOnce = 0
  #underWay = 0
  readonly #options: FakeOptions
  readonly #server = createServer((request, response) => {
    this.#serve(request, response).catch(() => response.destroy())
  })
  url = ''

  private constructor(options: FakeOptions) {
    this.#options = options
  }

  static async start(options: FakeOptions = {}): Promise<FakeOpenAi> {
    const fake = new FakeOpenAi(options)
    fake.#server.listen(0, '127.0.0.1')
    await once(fake.#server, 'listening')
    const address = fake.#server.address()
    fake.url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/v1`
    return fake
  }

  /** The texts of each request but the first, which is the probe. */
  get batches(): string[][] {
    return this.asked.slice(1).map(({ body }) => body.input)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url !== '/v1/embeddings') {
      request.resume()
      return answer(response, 404, { error: { message: 'unknown route' } })
    }
    const asked = {
      body: bodySchema.parse(JSON.parse(await text(request))),
      headers: request.headers,
      at: performance.now(),
    }
    this.asked.push(asked)
    const fault = this.#options.fault?.(asked, this.asked.length - 1)
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#underWay)
    try {
      await fault?.after
      await delay(fault?.delayMs ?? this.#options.delayMs ?? 0)
      if (fault?.hangUp === true) return void response.destroy()
      const [status, json] = this.#answerTo(asked.body)
      if (fault === undefined) return answer(response, status, json)
      const spoilt = 'error' in json ? json : (fault.json?.(json) ?? json)
      return answer(response, fault.status ?? status, spoilt, fault.headers)
    } finally {
      this.#underWay--
    }
  }

  #answerTo({ input, encoding_format, dimensions }: EmbeddingBody) {
    const { width = 8, poison, base64 = 'honoured', dimensions: aboutDimensions = 'honoured' } = this.#options
    const refused = (message: string) => [400, { error: { message, type: 'invalid_request_error' } }] as const
    if (poison !== undefined && input.some((each) => each.includes(poison))) return refused('one input is not valid')
    if (dimensions !== undefined && aboutDimensions === 'refused') return refused('this model takes no dimensions')
    if (encoding_format === 'base64' && base64 === 'refused') return refused('unknown encoding_format')
    const cut = aboutDimensions === 'honoured' ? dimensions : undefined
    const packed = encoding_format === 'base64' && base64 === 'honoured'
    const data = input.map((each, index) => {
      const vector = fakeVector(each, width).subarray(0, cut)
      return { object: 'embedding', index, embedding: packed ? base64Of(vector) : Array.from(vector) }
    })
    return [200, { object: 'list', data, usage: { prompt_tokens: input.length, total_tokens: input.length } }] as const
  }
}

/** Not of length 1. */
export function fakeVector(content: string, width = 8): Float32Array {
  const vector = new Float32Array(width).fill(0.5)
  for (const [index, character] of [...content].entries()) {
    const at = (character.codePointAt(0) ?? 0) % width
    vector[at] = (vector[at] ?? 0) + 1 + (index % 7) / 10
  }
  return vector
}

export function base64Of(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4)
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4)
  return bytes.toString('base64')
}

function answer(
  response: ServerResponse,
  status: number,
  json: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(json))
}
