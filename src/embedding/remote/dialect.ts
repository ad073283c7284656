import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Purpose } from '../../core/embedder.ts'
import { Fatal } from '../../core/errors.ts'
import type { Work } from '../backend.ts'
import { type HttpServer, Misunderstood, Refused } from './http-server.ts'
import { BadAnswer, type Embeddings, OtherDimension, readEmbeddings } from './vectors.ts'

/** What the settings say of the model. */
export interface Wishes {
  /** By its name on the server. */
  readonly model: string
  readonly dimension?: number | undefined
  readonly prefixes: { readonly query?: string | undefined; readonly passage?: string | undefined }
}

/** A model on a server, and how it is asked. */
export interface Dialect {
  readonly model: string
  readonly fingerprint: string
  readonly dimension: number
  readonly maxTokens: number
  readonly prefixes: Readonly<Record<Purpose, string>>
  /** Whether the server wants to know what texts are for, and how urgent they are; and counts tokens. */
  readonly millrace: boolean
  /** Throws `Refused`, `Retryable`, `Fatal`. */
  embed(texts: readonly string[], purpose: Purpose, priority: Work['priority']): Promise<Embeddings>
}

/** What a Millrace server says of its model, in its list of models. */
const modelsSchema = z.object({
  data: z.array(
    z.object({
      id: z.string(),
      millrace: z
        .object({
          fingerprint: z.string().min(1),
          dimension: z.int().min(1),
          maxTokens: z.int().min(1),
          prefixes: z.object({ query: z.string(), passage: z.string() }),
        })
        .optional(),
    }),
  ),
})
type MillraceModel = NonNullable<z.infer<typeof modelsSchema>['data'][number]['millrace']> & { readonly id: string }

/** OpenAI's models take 8,191 tokens and more, and most servers cut what is too long for theirs. */
const usualMaxTokens = 8_191
const mostModelBytes = 8 * 2 ** 20
const mostNumbers = 65_536
/** Of a number, as text or base64, with what stands around it. */
const bytesPerNumber = 32
const bytesAround = 65_536
/** A text that every model can embed. */
export const plainText = 'embedding'

/**
 * Learns what the server is. Throws `Retryable` when it does not answer now, so that a Millrace server is never taken
 * for another kind, and `Fatal` when the settings do not fit it.
 */
export async function learnDialect(server: HttpServer, wishes: Wishes): Promise<Dialect> {
  const found = await millraceModel(server)
  return found === undefined ? await learnOther(server, wishes) : speakMillrace(server, found, wishes)
}

/** Undefined where models cannot be listed, or where the list is that of another product. */
async function millraceModel(server: HttpServer): Promise<MillraceModel | undefined> {
  const answer = await server
    .ask({ method: 'GET', path: '/models', mostBytes: mostModelBytes })
    .catch((error: unknown) => {
      // A key that may embed need not be allowed to list.
      if (error instanceof Fatal || error instanceof Refused || error instanceof Misunderstood) return undefined
      throw error
    })
  const [model] = modelsSchema.safeParse(answer).data?.data ?? []
  return model?.millrace === undefined ? undefined : { id: model.id, ...model.millrace }
}

function speakMillrace(server: HttpServer, found: MillraceModel, wishes: Wishes): Dialect {
  const { id: model, fingerprint, dimension, maxTokens, prefixes } = found
  checkWishes(server, found, wishes)
  const wanted = (texts: number) => ({ texts, length: dimension, dimension: undefined })
  return {
    model,
    fingerprint,
    dimension,
    maxTokens,
    prefixes,
    millrace: true,
    async embed(texts, purpose, priority) {
      const input = texts.map((text) => withoutPrefix(text, prefixes[purpose]))
      const body = { model, input, encoding_format: 'base64', input_type: purpose, priority }
      const embeddings = await askFor(server, body, wanted(texts.length))
      if (embeddings.fingerprint === fingerprint) return embeddings
      throw otherModel(server, `its fingerprint is ${embeddings.fingerprint} instead of ${fingerprint}`)
    },
  }
}

/** The server puts it before the text itself. */
function withoutPrefix(text: string, prefix: string): string {
  if (!text.startsWith(prefix)) throw new Error(`a text does not begin with the prefix "${prefix}"`)
  return text.slice(prefix.length)
}

/** What the server decides cannot be wished otherwise. */
function checkWishes(server: HttpServer, { id, dimension, prefixes }: MillraceModel, wishes: Wishes): void {
  const name = (path: string) => path.split('/').at(-1)?.toLowerCase()
  if (name(wishes.model) !== name(id)) {
    const message = `${server.name} runs the model "${id}", not "${wishes.model}".`
    throw server.unusable(message, `Set embedder.model to ${id}, or let the server run another one.`)
  }
  const other =
    (wishes.dimension ?? dimension) !== dimension
      ? `vectors of ${dimension} dimensions, not ${wishes.dimension}`
      : (wishes.prefixes.query ?? prefixes.query) !== prefixes.query ||
          (wishes.prefixes.passage ?? prefixes.passage) !== prefixes.passage
        ? 'other prefixes'
        : undefined
  if (other === undefined) return
  const message = `${server.name} is a Millrace that makes ${other}.`
  throw server.unusable(message, 'Set embedder.dimension and embedder.prefixes there, and leave them out here.')
}

async function learnOther(server: HttpServer, wishes: Wishes): Promise<Dialect> {
  const { model, dimension: wished } = wishes
  const prefixes = { query: wishes.prefixes.query ?? '', passage: wishes.prefixes.passage ?? '' }
  const { extras, length } = await learnExtras(server, model, wished)
  const dimension = wished ?? length
  if (dimension > length) {
    const message = `"${model}" at ${server.name} makes vectors of ${length} dimensions, which is less than ${dimension}.`
    throw server.unusable(message, `Leave embedder.dimension out, or set it to ${length} at most.`)
  }
  const makeup = JSON.stringify(['openai', model, dimension, prefixes.query, prefixes.passage])
  return {
    model,
    fingerprint: createHash('sha256').update(makeup).digest('hex').slice(0, 32),
    dimension,
    maxTokens: usualMaxTokens,
    prefixes,
    millrace: false,
    embed: (texts) => askFor(server, { model, input: texts, ...extras }, { texts: texts.length, length, dimension }),
  }
}

/** Embeds one text with all that we would like to say; a server that does not know it is asked with less. */
async function learnExtras(server: HttpServer, model: string, dimensions: number | undefined) {
  const base64 = { encoding_format: 'base64' }
  const wishes = dimensions === undefined ? [base64, {}] : [{ ...base64, dimensions }, { dimensions }, base64, {}]
  let refused: Refused | undefined
  for (const extras of wishes) {
    try {
      const body = { model, input: [plainText], ...extras }
      const { vectors } = await askFor(server, body, { texts: 1, length: undefined, dimension: undefined })
      const [vector] = vectors
      if (vector !== undefined) return { extras, length: vector.length }
      throw server.misunderstood('a vector without a direction')
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      refused ??= error
    }
  }
  throw server.unusable(
    refused?.message ?? '',
    `Check that "${model}" (embedder.model) is an embedding model of that server.`,
  )
}

async function askFor(
  server: HttpServer,
  body: unknown,
  wanted: { readonly texts: number; readonly length: number | undefined; readonly dimension: number | undefined },
): Promise<Embeddings> {
  const mostBytes = bytesAround + wanted.texts * (wanted.length ?? mostNumbers) * bytesPerNumber
  const answer = await server.ask({ method: 'POST', path: '/embeddings', body, mostBytes })
  try {
    return readEmbeddings(answer, wanted)
  } catch (error) {
    if (error instanceof OtherDimension) throw otherModel(server, error.message)
    throw error instanceof BadAnswer ? server.misunderstood(error.message) : error
  }
}

function otherModel(server: HttpServer, how: string): Fatal {
  const message = `${server.name} runs another model than when this process started: ${how}.`
  return server.unusable(message, 'Start this process again; its collections may have to be embedded anew.')
}
