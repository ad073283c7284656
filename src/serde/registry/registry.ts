import { InvalidInput, MillraceError } from '../../core/errors.ts'
import { compileContract } from '../contract.ts'
import type { Contract, SchemaReference, SchemaSource } from '../schema.ts'
import type { RegisteredReference, RegisteredSchema, RegistryApi } from './api.ts'

export interface RegistryOptions {
  readonly api: RegistryApi
  /** Schemas by id that are kept, the most recently used of them. Default 1,000. */
  readonly capacity?: number | undefined
  /** Milliseconds for which an id that the registry does not know is not asked for again. Default 10 s. */
  readonly unknownMs?: number | undefined
}

export interface Latest {
  readonly id: number
  readonly contract: Contract
}

/** Why an id has no contract, until when that is believed. */
interface Failure {
  readonly error: InvalidInput
  readonly until: number
}

/** References of references; more are made by no one. */
const maxDepth = 30

/** The schemas of a registry by id, cached, and what is written by subject. */
export class Registry {
  readonly #api: RegistryApi
  readonly #capacity: number
  readonly #unknownMs: number
  /** In the order of use. A schema never changes under its id. */
  readonly #contracts = new Map<number, Contract>()
  readonly #failures = new Map<number, Failure>()
  readonly #fetching = new Map<number, Promise<void>>()
  /** How many values wait to be decoded by a schema: it must not be dropped meanwhile. */
  readonly #pins = new Map<number, number>()

  constructor({ api, capacity = 1_000, unknownMs = 10_000 }: RegistryOptions) {
    this.#api = api
    this.#capacity = capacity
    this.#unknownMs = unknownMs
  }

  get url(): string {
    return this.#api.url
  }

  /** How many schemas are cached. */
  get size(): number {
    return this.#contracts.size
  }

  /** Throws `InvalidInput` (`unknown_schema`, `schema_unusable`) for an id that `load` has found no schema for. */
  contract(id: number): Contract {
    const contract = this.#contracts.get(id)
    if (contract) return contract
    throw this.#failures.get(id)?.error ?? unknownSchema(id, this.url)
  }

  /**
   * Makes the contracts of these ids available until the caller has run on synchronously. `undefined` when they are there.
   * Rejects with `Retryable` when the registry cannot be asked.
   */
  load(ids: Iterable<number>): Promise<void> | undefined {
    const wanted = [...new Set(ids)]
    const now = performance.now()
    const missing: number[] = []
    for (const id of wanted) {
      const contract = this.#contracts.get(id)
      if (contract) this.#keep(id, contract)
      else if ((this.#failures.get(id)?.until ?? 0) <= now) missing.push(id)
    }
    if (missing.length === 0) return undefined
    for (const id of wanted) this.#pins.set(id, (this.#pins.get(id) ?? 0) + 1)
    const loading = Promise.all(missing.map((id) => this.#fetchOnce(id)))
      .then(() => {})
      .finally(() => setImmediate(() => this.#unpin(wanted)))
    // Whoever asks only whether something is missing must not have to handle how it ends.
    loading.catch(() => {})
    return loading
  }

  /** The subject's latest version; `undefined` when there is no such subject. */
  async latest(subject: string): Promise<Latest | undefined> {
    const found = await this.#api.version(subject, 'latest')
    if (found === undefined) return undefined
    const origin = `${subject} version ${found.version} (${this.url})`
    return { id: found.id, contract: await compileContract(await this.#resolve(found, origin), true) }
  }

  /**
   * The id under which the subject has this schema; it is registered if need be, and what it refers to before it. Throws
   * `InvalidInput` (`incompatible_schema`, `schema_rejected`) with the file's name.
   */
  async register(subject: string, source: SchemaSource): Promise<number> {
    const schema = await this.#registered(source)
    try {
      // Asked first, since looking needs fewer rights than writing.
      return (await this.#api.lookUp(subject, schema))?.id ?? (await this.#api.register(subject, schema))
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error
      const { code, hint } = error
      throw new InvalidInput({ code, message: `${source.origin}: ${error.message}`, hint, cause: error })
    }
  }

  /** Why the subject does not take this schema; empty when it does. Nothing is registered. */
  async incompatibilities(subject: string, source: SchemaSource): Promise<string[]> {
    const references: RegisteredReference[] = []
    const reasons: string[] = []
    for (const { name, source: inner } of source.references) {
      reasons.push(...(await this.incompatibilities(name, inner)).map((reason) => `${name}: ${reason}`))
      const known = await this.#find(name, inner)
      // What refers to a schema that is not there yet cannot be judged by the registry.
      if (known === undefined) return reasons
      references.push({ name, subject: name, version: known.version })
    }
    const schema = { type: source.type, text: source.text, references }
    return [...reasons, ...((await this.#api.incompatibilities(subject, schema)) ?? [])]
  }

  async #find(subject: string, source: SchemaSource): Promise<{ version: number } | undefined> {
    const references: RegisteredReference[] = []
    for (const { name, source: inner } of source.references) {
      const known = await this.#find(name, inner)
      if (known === undefined) return undefined
      references.push({ name, subject: name, version: known.version })
    }
    return this.#api.lookUp(subject, { type: source.type, text: source.text, references })
  }

  /** The schema with what it refers to registered, each under its own name as subject. */
  async #registered({ type, text, references }: SchemaSource): Promise<RegisteredSchema> {
    const named: RegisteredReference[] = []
    for (const { name, source } of references) {
      await this.register(name, source)
      const schema = await this.#registered(source)
      const found = (await this.#api.lookUp(name, schema)) ?? (await this.#api.version(name, 'latest'))
      if (found) named.push({ name, subject: name, version: found.version })
    }
    return { type, text, references: named }
  }

  #fetchOnce(id: number): Promise<void> {
    const fetching = this.#fetching.get(id) ?? this.#fetch(id).finally(() => this.#fetching.delete(id))
    this.#fetching.set(id, fetching)
    return fetching
  }

  async #fetch(id: number): Promise<void> {
    const found = await this.#api.schema(id)
    try {
      if (found === undefined) throw unknownSchema(id, this.url)
      const origin = `of id ${id} (${this.url})`
      this.#keep(id, await compileContract(await this.#resolve(found, origin), true))
      this.#failures.delete(id)
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error
      this.#failures.delete(id)
      this.#failures.set(id, { error, until: performance.now() + this.#unknownMs })
      dropOldest(this.#failures, this.#capacity, () => true)
    }
  }

  async #resolve({ type, text, references }: RegisteredSchema, origin: string, depth = 0): Promise<SchemaSource> {
    if (depth > maxDepth) throw unusableReference(origin, `references are more than ${maxDepth} levels deep`)
    const resolved = references.map(async ({ name, subject, version }): Promise<SchemaReference> => {
      const found = await this.#api.version(subject, version)
      const place = `${subject} version ${version} (${this.url})`
      if (found === undefined) throw unusableReference(origin, `it refers to ${place}, which is not there`)
      return { name, source: await this.#resolve(found, place, depth + 1) }
    })
    return { type, text, origin, references: await Promise.all(resolved) }
  }

  #keep(id: number, contract: Contract): void {
    this.#contracts.delete(id)
    this.#contracts.set(id, contract)
    dropOldest(this.#contracts, this.#capacity, (other) => !this.#pins.has(other))
  }

  #unpin(ids: readonly number[]): void {
    for (const id of ids) {
      const left = (this.#pins.get(id) ?? 1) - 1
      if (left === 0) this.#pins.delete(id)
      else this.#pins.set(id, left)
    }
    dropOldest(this.#contracts, this.#capacity, (other) => !this.#pins.has(other))
  }
}

function dropOldest(map: Map<number, unknown>, capacity: number, mayGo: (key: number) => boolean): void {
  for (const key of map.keys()) {
    if (map.size <= capacity) return
    if (mayGo(key)) map.delete(key)
  }
}

function unknownSchema(id: number, url: string): InvalidInput {
  const message = `the value names the schema ${id}, which the registry ${url} does not have`
  return new InvalidInput({ code: 'unknown_schema', message })
}

function unusableReference(origin: string, why: string): InvalidInput {
  return new InvalidInput({ code: 'schema_unusable', message: `the schema ${origin} cannot be used: ${why}` })
}

/** Whether an error only says that the registry cannot be asked now. */
export function isUnavailable(error: unknown): error is MillraceError {
  return error instanceof MillraceError && error.code.startsWith('registry_')
}
