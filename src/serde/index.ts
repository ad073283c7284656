import type { Codec, Serde } from '../core/serde.ts'
import { plainCodec } from './contract.ts'
import { type LocalSchema, SchemaFolder } from './folder.ts'
import { jsonCodec } from './json.ts'
import { RegistryApi, type RegistrySettings } from './registry/api.ts'
import { RegistrySerde } from './registry/serde.ts'

export interface SerdeOptions {
  /** Where the topics' schemas are: `<topic>.schema.json`, `<topic>.avsc`, `<topic>.proto`. It need not exist. */
  readonly folder: string
  /** The registry that schemas are bound to. Without one, values are plain bytes of their topic's schema. */
  readonly registry?: RegistrySettings | undefined
}

/** What keeps a topic's schema file from being registered. */
export interface Incompatibility {
  /** Path of the file. */
  readonly file: string
  /** What the registry says, each reason by itself. */
  readonly reasons: readonly string[]
}

export interface OpenSerde extends Serde {
  /**
   * Asks the registry about the topic's schema file; `undefined` when it would take it, or when there is nothing to ask.
   * Throws `Retryable` when it cannot be asked.
   */
  incompatibility(topic: string): Promise<Incompatibility | undefined>
}

/** Codecs by topic: from the schema file, else from the registry, else JSON. */
export function createSerde({ folder, registry }: SerdeOptions): OpenSerde {
  const schemas = new SchemaFolder(folder)
  if (registry !== undefined) return new RegistrySerde(schemas, new RegistryApi(registry))
  const plain = jsonCodec()
  const codecs = new WeakMap<LocalSchema, Codec>()
  return {
    async codec(topic) {
      const local = await schemas.find(topic)
      if (local === undefined) return plain
      const codec = codecs.get(local) ?? plainCodec(local.contract)
      codecs.set(local, codec)
      return codec
    },
    incompatibility: async () => undefined,
  }
}
