import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errorCode } from '../core/errors.ts'

/** The schema of pipeline files, for editors, as it is written to disk. */
export async function schemaText(): Promise<string> {
  const { pipelineJsonSchema } = await import('../config/json-schema.ts')
  const { catalog } = await import('./catalog.ts')
  return `${JSON.stringify(pipelineJsonSchema(catalog), null, 2)}\n`
}

/** Writes `schemas/pipeline.schema.json` under a folder, unless it is there as it should be. Answers its path. */
export async function writeSchema(folder: string): Promise<string> {
  const file = join(folder, 'schemas', 'pipeline.schema.json')
  const text = await schemaText()
  const present = await readFile(file, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  })
  if (present === text) return file
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, text)
  return file
}
