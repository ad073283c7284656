import { readFile } from 'node:fs/promises'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import type { SchemaRegistryAPIClient } from '@kafkajs/confluent-schema-registry/dist/api/index.js'
import { z } from 'zod'
import { errorMessage, InvalidInput, Retryable } from '../../core/errors.ts'
import { type SchemaType, schemaTypes } from '../schema.ts'

/** As `millrace.yaml` binds it. `ca`, `cert` and `key` are PEM files. */
export interface RegistrySettings {
  readonly url: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** A bearer token, instead of a user. */
  readonly token?: string | undefined
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/** A schema as the registry keeps it: what it refers to is named by subject and version. */
export interface RegisteredSchema {
  readonly type: SchemaType
  readonly text: string
  readonly references: readonly RegisteredReference[]
}
export interface RegisteredReference {
  readonly name: string
  readonly subject: string
  readonly version: number
}
export interface SchemaVersion extends RegisteredSchema {
  readonly id: number
  readonly version: number
}

const references = z
  .array(z.object({ name: z.string(), subject: z.string(), version: z.int() }))
  .nullish()
  .transform((value) => value ?? [])
// A registry leaves the type out where it is Avro, and older ones know no other.
const schemaType = z
  .enum(schemaTypes)
  .nullish()
  .transform((value) => value ?? 'AVRO')
const byId = z.object({ schema: z.string(), schemaType, references })
const byVersion = byId.extend({ id: z.int(), version: z.int() })
const registered = z.object({ id: z.int() })
const looked = z.object({ id: z.int(), version: z.int() })
/** Confluent's says why in `messages`, Apicurio's in `reason`. */
const compatibility = z.object({
  is_compatible: z.boolean(),
  messages: z.array(z.string()).nullish(),
  reason: z.string().nullish(),
})

const conflict = 409
const unprocessable = 422
const tries = 3
/** Milliseconds. */
const timeout = 5_000
const firstPause = 150
/** So many requests at a time, so that a start with many topics does not flood the registry. */
const mostRequests = 8

/**
 * The REST API of a Confluent-compatible registry. Requests are made by the client inside `@kafkajs/confluent-schema-registry`;
 * that package's own registry class would insist on a compatibility level, keep every schema for ever, and read Protobuf
 * without its message indexes. What may pass (no connection, 429, 5xx, a refused login) is `Retryable`, after a few tries.
 */
export class RegistryApi {
  readonly url: string
  readonly #settings: RegistrySettings
  #client: Promise<SchemaRegistryAPIClient> | undefined
  /** Whether the address has answered as a registry does: only then does "not found" mean that something is not there. */
  #proven = false
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(settings: RegistrySettings) {
    this.#settings = settings
    this.url = settings.url.replace(/\/+$/, '').replace(/\/\/[^/@]*@/, '//')
  }

  /** `undefined`: there is no such id. */
  async schema(id: number): Promise<RegisteredSchema | undefined> {
    const found = await this.#find(byId, (client) => client.Schema.find({ id, timeout }))
    return found && { type: found.schemaType, text: found.schema, references: found.references }
  }

  /** `undefined`: there is no such subject, or it has no such version. */
  async version(subject: string, version: number | 'latest'): Promise<SchemaVersion | undefined> {
    const found = await this.#find(byVersion, (client) => client.Subject.version({ subject, version, timeout }))
    return found && { type: found.schemaType, text: found.schema, ...found }
  }

  /** Where the subject has this schema already. */
  async lookUp(subject: string, schema: RegisteredSchema): Promise<{ id: number; version: number } | undefined> {
    return this.#find(looked, (client) => client.Subject.registered({ subject, body: bodyOf(schema), timeout }))
  }

  /**
   * Adds a version to the subject; answers the schema's id. Throws `InvalidInput` (`incompatible_schema`,
   * `schema_rejected`) with what the registry says.
   */
  async register(subject: string, schema: RegisteredSchema): Promise<number> {
    const body = bodyOf(schema)
    try {
      const { id } = await this.#request(registered, (client) => client.Subject.register({ subject, body, timeout }))
      return id
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error
      if (error.status !== conflict && error.status !== unprocessable) throw this.#unavailable(error)
      const incompatible = error.status === conflict
      const what = incompatible ? 'is not compatible with what the registry has' : 'was not accepted by the registry'
      throw new InvalidInput({
        code: incompatible ? 'incompatible_schema' : 'schema_rejected',
        message: `the schema for the subject "${subject}" ${what} (${this.url}): ${error.message}`,
        hint: incompatible
          ? 'change it so that existing readers and values still fit, or use another topic'
          : undefined,
        cause: error,
      })
    }
  }

  /** Why the subject's latest version forbids this one; empty when it does not. `undefined`: there is no such subject. */
  async incompatibilities(subject: string, schema: RegisteredSchema): Promise<string[] | undefined> {
    const parameters = { subject, version: 'latest', verbose: true, body: bodyOf(schema), timeout }
    const answer = await this.#find(compatibility, (client) => client.Subject.compatible(parameters)).catch(rejection)
    if (answer === undefined || answer.is_compatible) return answer && []
    // Apicurio says everything twice.
    const reason = answer.reason?.replace(/^Incompatible artifact: .* Causes: /s, '')
    const reasons = [...(answer.messages ?? []), ...(reason ? [reason] : [])]
    return reasons.length === 0 ? ['the registry does not say why'] : reasons
  }

  /** A request whose answer may be that something is not there. */
  async #find<T>(shape: z.ZodType<T>, send: Send): Promise<T | undefined> {
    try {
      return await this.#request(shape, send)
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error
      if (error.status !== 404) throw this.#unavailable(error)
      await this.#prove()
      return undefined
    }
  }

  /** A wrong address answers "not found" as well, and must not make every event a dead letter. */
  async #prove(): Promise<void> {
    if (this.#proven) return
    try {
      await this.#request(z.array(z.string()), (client) => client.Subject.all({ limit: 1, timeout }))
      this.#proven = true
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error
      throw new Retryable({
        code: 'registry_unreachable',
        message: `${this.url} does not answer as a schema registry does: ${error.message}`,
        hint: 'check schemaRegistry.url; it ends before /subjects',
        cause: error,
      })
    }
  }

  /** Throws `RegistryError` for what the registry refuses for good, `Retryable` for everything else. */
  async #request<T>(shape: z.ZodType<T>, send: Send): Promise<T> {
    await this.#turn()
    try {
      const client = await this.#open()
      for (let attempt = 1; ; attempt += 1) {
        try {
          const response = await send(client)
          return this.#checked(shape, response.data())
        } catch (error) {
          const failure = failureOf(error)
          if (failure !== undefined && !passing(failure.status)) throw failure
          if (attempt === tries || error instanceof Retryable) throw this.#unavailable(failure ?? error)
          await pause(firstPause * 2 ** attempt * (0.5 + Math.random()))
        }
      }
    } finally {
      this.#running -= 1
      this.#waiting.shift()?.()
    }
  }

  async #turn(): Promise<void> {
    while (this.#running >= mostRequests) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
      })
    }
    this.#running += 1
  }

  #checked<T>(shape: z.ZodType<T>, data: unknown): T {
    const { data: answer, error } = shape.safeParse(data)
    if (error === undefined && answer !== undefined) return answer
    throw new Retryable({
      code: 'registry_unreachable',
      message: `${this.url} does not answer as a schema registry does; check schemaRegistry.url`,
      cause: error,
    })
  }

  #unavailable(error: unknown): Retryable {
    if (error instanceof Retryable) return error
    const refused = error instanceof RegistryError && (error.status === 401 || error.status === 403)
    return new Retryable({
      code: refused ? 'registry_refused' : 'registry_unreachable',
      message: `the schema registry ${this.url} ${refused ? 'refuses access' : 'cannot be used'}: ${errorMessage(error)}`,
      hint: refused ? 'check the user or token of schemaRegistry, and what they may do' : undefined,
      cause: error,
    })
  }

  #open(): Promise<SchemaRegistryAPIClient> {
    this.#client ??= connect(this.#settings).catch((error: unknown) => {
      this.#client = undefined
      throw error
    })
    return this.#client
  }
}

/** A schema that the registry cannot even read is not compatible either. */
function rejection(error: unknown): z.infer<typeof compatibility> {
  const answer = error instanceof Retryable ? error.cause : error
  if (!(answer instanceof RegistryError) || answer.status !== unprocessable) throw error
  return { is_compatible: false, reason: answer.message }
}

interface Answer {
  data(): unknown
}
type Send = (client: SchemaRegistryAPIClient) => Promise<Answer>

/** What the registry answered instead of doing it. */
class RegistryError extends Error {
  readonly status: number
  constructor(status: number, message: string, cause: unknown) {
    super(message, { cause })
    this.status = status
  }
}

/** The package's `ResponseError`. */
const responseError = z.object({ message: z.string(), status: z.int() })

function failureOf(error: unknown): RegistryError | undefined {
  const { data } = responseError.safeParse(error)
  if (data === undefined) return undefined
  // The client's name and, where there was no answer at all, a status that nobody sent.
  return new RegistryError(data.status, data.message.replace(/^\S* - (?:Error, status \d+: )?/, ''), error)
}

/** Whether the same request may succeed later. The client reports a failed connection as 400. */
function passing(status: number): boolean {
  return status === 400 || status === 408 || status === 429 || status >= 500
}

async function connect(settings: RegistrySettings): Promise<SchemaRegistryAPIClient> {
  const { token } = settings
  const url = new URL(settings.url)
  const username = settings.username ?? (url.username === '' ? undefined : decodeURIComponent(url.username))
  const password = settings.password ?? decodeURIComponent(url.password)
  url.username = ''
  url.password = ''
  const { default: loaded } = await import('@kafkajs/confluent-schema-registry/dist/api/index.js')
  // A CommonJS module with a default export: Node answers its exports, bundlers answer that export.
  const createClient = typeof loaded === 'function' ? loaded : loaded.default
  return createClient({
    host: url.href.replace(/\/+$/, ''),
    clientId: 'millrace',
    // Tries are ours: those of the client leave out everything but GET.
    retry: { retries: 0 },
    agent: await agentFor(settings),
    ...(username === undefined ? {} : { auth: { username, password } }),
    ...(token === undefined ? {} : { middlewares: [bearer(token)] }),
  })
}

async function agentFor({ url, ca, cert, key }: RegistrySettings): Promise<HttpAgent> {
  if (!url.startsWith('https:')) return new HttpAgent({ keepAlive: true })
  return new HttpsAgent({
    keepAlive: true,
    ...(ca === undefined ? {} : { ca: await pem(ca, 'ca') }),
    ...(cert === undefined ? {} : { cert: await pem(cert, 'cert') }),
    ...(key === undefined ? {} : { key: await pem(key, 'key') }),
  })
}

async function pem(path: string, name: string): Promise<Buffer> {
  return readFile(path).catch((error: unknown) => {
    const message = `schemaRegistry.${name} ${path} cannot be read: ${errorMessage(error)}`
    throw new InvalidInput({ code: 'file_unreadable', message, cause: error })
  })
}

type Middleware = NonNullable<
  Parameters<typeof import('@kafkajs/confluent-schema-registry/dist/api/index.js')['default']>[0]['middlewares']
>[number]

function bearer(token: string): Middleware {
  return () => ({
    prepareRequest: async (next) => (await next()).enhance({ headers: { Authorization: `Bearer ${token}` } }),
  })
}

function bodyOf({ type, text, references: named }: RegisteredSchema) {
  return {
    schema: text,
    ...(type === 'AVRO' ? {} : { schemaType: type }),
    ...(named.length === 0 ? {} : { references: named }),
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
  })
}
