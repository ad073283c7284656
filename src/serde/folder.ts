import { readdir, readFile } from 'node:fs/promises'
import { basename, join, normalize } from 'node:path'
import { errorCode, errorMessage, InvalidInput } from '../core/errors.ts'
import { compileContract, referencesOf } from './contract.ts'
import { type Contract, type SchemaReference, type SchemaSource, type SchemaType, unusable } from './schema.ts'

/** The schema of a topic that stands in a file. */
export interface LocalSchema {
  /** The file's path. */
  readonly path: string
  readonly source: SchemaSource
  readonly contract: Contract
}

const suffixes: readonly (readonly [string, SchemaType])[] = [
  ['.schema.json', 'JSON'],
  ['.avsc', 'AVRO'],
  ['.proto', 'PROTOBUF'],
]
/** The schema of pipeline files stands in the same folder and belongs to no topic. */
const pipelineSchema = 'pipeline.schema.json'
/** Files that refer to each other in a circle would never end. */
const maxDepth = 30

/** The schemas in a folder by topic. The folder and each schema are read once, when they are first needed. */
export class SchemaFolder {
  readonly #folder: string
  readonly #schemas = new Map<string, Promise<LocalSchema>>()
  #files: Promise<ReadonlyMap<string, readonly string[]>> | undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Throws `InvalidInput` (`schema_unusable`, `schema_ambiguous`). */
  async find(topic: string): Promise<LocalSchema | undefined> {
    this.#files ??= schemaFiles(this.#folder)
    const files = (await this.#files).get(topic)
    if (files === undefined) return undefined
    const schema = this.#schemas.get(topic) ?? this.#load(topic, files)
    this.#schemas.set(topic, schema)
    return schema
  }

  async #load(topic: string, files: readonly string[]): Promise<LocalSchema> {
    const [file = ''] = files
    if (files.length > 1) {
      throw new InvalidInput({
        code: 'schema_ambiguous',
        message: `the topic "${topic}" has more than one schema in ${this.#folder}: ${files.join(', ')}; keep one`,
      })
    }
    const type = suffixes.find(([suffix]) => file.endsWith(suffix))?.[1] ?? 'JSON'
    const path = join(this.#folder, file)
    const source = await this.#read(type, path, 0)
    return { path, source, contract: await compileContract(source) }
  }

  async #read(type: SchemaType, path: string, depth: number): Promise<SchemaSource> {
    if (depth > maxDepth) throw unusable(path, `files refer to each other more than ${maxDepth} levels deep`)
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      const message = `the schema ${path} cannot be read: ${errorMessage(error)}`
      throw new InvalidInput({ code: 'schema_unusable', message, cause: error })
    })
    const references: SchemaReference[] = []
    for (const name of await referencesOf(type, text, path)) {
      const file = normalize(fileOf(type, name))
      if (file.startsWith('..')) throw unusable(path, `it refers to ${name}, which is outside of ${this.#folder}`)
      references.push({ name, source: await this.#read(type, join(this.#folder, file), depth + 1) })
    }
    return { type, text, origin: path, references }
  }
}

/** Where in the folder a reference is looked for. */
function fileOf(type: SchemaType, name: string): string {
  if (type === 'AVRO') return `${name}.avsc`
  return type === 'JSON' ? basename(name) : name
}

/** File names by topic. */
async function schemaFiles(folder: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const files = new Map<string, string[]>()
  for (const file of await list(folder)) {
    const suffix = suffixes.find(([end]) => file.endsWith(end))?.[0]
    if (suffix === undefined || file === pipelineSchema) continue
    const topic = file.slice(0, -suffix.length)
    files.set(topic, [...(files.get(topic) ?? []), file])
  }
  return files
}

async function list(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).toSorted()
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    const message = `the folder of schemas ${folder} cannot be read: ${errorMessage(error)}`
    throw new InvalidInput({ code: 'schema_unusable', message, cause: error })
  }
}
