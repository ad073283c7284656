import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, errorMessage, InvalidInput } from '../core/errors.ts'
import type { Codec, Serde } from '../core/serde.ts'
import { jsonCodec } from './json.ts'
import { jsonContract } from './json-schema.ts'

export interface SerdeOptions {
  /** Where the topics' schemas are: `<topic>.schema.json`. It need not exist. */
  readonly folder: string
}

const jsonSuffix = '.schema.json'
const laterSuffixes = ['.avsc', '.proto']
/** The schema of pipeline files stands in the same folder and belongs to no topic. */
const pipelineSchema = 'pipeline.schema.json'

/** Codecs by topic. The folder and each schema are read once, when they are first needed. */
export function createSerde({ folder }: SerdeOptions): Serde {
  const plain = jsonCodec()
  const codecs = new Map<string, Promise<Codec>>()
  let files: Promise<ReadonlyMap<string, readonly string[]>> | undefined
  return {
    async codec(topic) {
      files ??= schemaFiles(folder)
      const found = (await files).get(topic)
      if (found === undefined) return plain
      const codec = codecs.get(topic) ?? load(folder, topic, found)
      codecs.set(topic, codec)
      return codec
    },
  }
}

/** File names by topic. */
async function schemaFiles(folder: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const files = new Map<string, string[]>()
  for (const file of await list(folder)) {
    const suffix = [jsonSuffix, ...laterSuffixes].find((end) => file.endsWith(end) && file !== pipelineSchema)
    if (suffix === undefined) continue
    const topic = file.slice(0, -suffix.length)
    files.set(topic, [...(files.get(topic) ?? []), file])
  }
  return files
}

async function list(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    const message = `the folder of schemas ${folder} cannot be read: ${errorMessage(error)}`
    throw new InvalidInput({ code: 'schema_unusable', message, cause: error })
  }
}

async function load(folder: string, topic: string, files: readonly string[]): Promise<Codec> {
  const [file = ''] = files
  if (files.length > 1) {
    throw new InvalidInput({
      code: 'schema_ambiguous',
      message: `the topic "${topic}" has more than one schema in ${folder}: ${files.join(', ')}; keep one`,
    })
  }
  if (!file.endsWith(jsonSuffix)) {
    throw new InvalidInput({
      code: 'schema_unsupported',
      message: `${join(folder, file)}: Avro and Protobuf need a version of Millrace with schema registries`,
      hint: `describe the topic as JSON in ${topic}${jsonSuffix} instead, or remove the file`,
    })
  }
  const path = join(folder, file)
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    const message = `the schema ${path} cannot be read: ${errorMessage(error)}`
    throw new InvalidInput({ code: 'schema_unusable', message, cause: error })
  })
  return jsonCodec(jsonContract(text, path))
}
