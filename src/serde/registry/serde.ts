import { InvalidInput } from '../../core/errors.ts'
import type { Codec } from '../../core/serde.ts'
import type { LocalSchema, SchemaFolder } from '../folder.ts'
import type { Incompatibility, OpenSerde } from '../index.ts'
import type { RegistryApi } from './api.ts'
import { registryCodec } from './codec.ts'
import { isUnavailable, type Latest, Registry } from './registry.ts'

export interface RegistrySerdeOptions {
  /** See `RegistryOptions`. */
  readonly capacity?: number | undefined
  readonly unknownMs?: number | undefined
  /** Milliseconds for which what a subject's latest version is, is believed. Default 60 s. */
  readonly latestMs?: number | undefined
}

/** After a failure the registry is not asked for so many milliseconds by those who can do without. */
const downMs = 5_000
/** Topics whose latest version is remembered. */
const maxTopics = 10_000

interface Known {
  readonly latest: Latest | undefined
  readonly until: number
}

/** Codecs of topics whose schemas are bound to a registry, in subjects `<topic>-value`. */
export class RegistrySerde implements OpenSerde {
  readonly registry: Registry
  readonly #folder: SchemaFolder
  readonly #latestMs: number
  /** Ids of schema files, once they are registered. */
  readonly #registered = new Map<LocalSchema, Promise<number>>()
  readonly #latest = new Map<string, Known>()
  readonly #asking = new Map<string, Promise<Latest | undefined>>()
  #downUntil = 0

  constructor(folder: SchemaFolder, api: RegistryApi, options: RegistrySerdeOptions = {}) {
    const { latestMs = 60_000, ...cache } = options
    this.registry = new Registry({ api, ...cache })
    this.#folder = folder
    this.#latestMs = latestMs
  }

  async codec(topic: string, use: 'read' | 'write' = 'read'): Promise<Codec> {
    const local = await this.#folder.find(topic)
    const { registry } = this
    if (local === undefined) {
      const latest = use === 'write' ? await this.#current(topic) : await this.#currentIfUp(topic)
      return registryCodec({ registry, ...latest })
    }
    const { contract } = local
    return registryCodec({ registry, contract, id: use === 'write' ? await this.#register(topic, local) : undefined })
  }

  async incompatibility(topic: string): Promise<Incompatibility | undefined> {
    const local = await this.#folder.find(topic)
    if (local === undefined) return undefined
    const reasons = await this.registry.incompatibilities(subjectOf(topic), local.source)
    return reasons.length === 0 ? undefined : { file: local.path, reasons }
  }

  #register(topic: string, local: LocalSchema): Promise<number> {
    const registering =
      this.#registered.get(local) ??
      this.registry.register(subjectOf(topic), local.source).catch((error: unknown) => {
        this.#registered.delete(local)
        throw error
      })
    this.#registered.set(local, registering)
    return registering
  }

  /** Readers need no subject, as each value names its schema; what it says of fields can wait until the registry is up. */
  async #currentIfUp(topic: string): Promise<Latest | undefined> {
    if (performance.now() < this.#downUntil) return this.#latest.get(topic)?.latest
    try {
      return await this.#current(topic)
    } catch (error) {
      // The latest schema may be beyond what is understood here, while the values are of others.
      if (error instanceof InvalidInput) return undefined
      if (!isUnavailable(error)) throw error
      this.#downUntil = performance.now() + downMs
      return undefined
    }
  }

  /** What was known before still holds while the registry is down. */
  async #current(topic: string): Promise<Latest | undefined> {
    const known = this.#latest.get(topic)
    if (known && known.until > performance.now()) return known.latest
    const asking = this.#asking.get(topic) ?? this.#ask(topic).finally(() => this.#asking.delete(topic))
    this.#asking.set(topic, asking)
    try {
      return await asking
    } catch (error) {
      if (known?.latest === undefined || !isUnavailable(error)) throw error
      return known.latest
    }
  }

  async #ask(topic: string): Promise<Latest | undefined> {
    const latest = await this.registry.latest(subjectOf(topic))
    this.#latest.delete(topic)
    this.#latest.set(topic, { latest, until: performance.now() + this.#latestMs })
    const [oldest] = this.#latest.keys()
    if (this.#latest.size > maxTopics && oldest !== undefined) this.#latest.delete(oldest)
    return latest
  }
}

/** Confluent's TopicNameStrategy. */
function subjectOf(topic: string): string {
  return `${topic}-value`
}
