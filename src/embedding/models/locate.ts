import { readdir } from 'node:fs/promises'
import { isAbsolute, join, resolve } from 'node:path'
import { Fatal } from '../../core/errors.ts'
import { didYouMean } from '../../core/nearest.ts'
import { type DownloadProgress, downloadModel } from './download.ts'
import { isThere } from './files.ts'
import type { HubName, HubOptions } from './hub.ts'
import { type Model, type ModelOptions, readModel } from './model.ts'
import { chooseWeights, listFiles } from './weights.ts'

export interface ModelPlaces {
  /** The folder of the models that come with Millrace. */
  readonly shipped: string
  /** The folder of those that were downloaded: `owner/name@revision` below it. */
  readonly downloaded: string
}

/** Where a model is, or will be once it is downloaded. */
export interface Located {
  readonly folder: string
  readonly name?: string | undefined
  /** What to download, if it is not there. */
  readonly hub?: HubName | undefined
}

/** As in the section `embedder` of the runtime. */
export interface ModelSettings extends Omit<ModelOptions, 'name'> {
  readonly model: string
  readonly hub: HubOptions
}

export interface OpenModelOptions extends ModelPlaces, ModelSettings {
  readonly signal: AbortSignal
  readonly progress?: ((progress: DownloadProgress) => void) | undefined
}

const hubName = /^([\w][\w.-]*)\/([\w][\w.-]*)(?:@([\w][\w./-]*))?$/

/**
 * What a model's name stands for: a folder, if it begins with `.` or is absolute; a shipped model; or `owner/name`, and
 * `owner/name@revision`, on the hub. Throws `Fatal` (`model_unusable`) for a name of none of these.
 */
export async function locateModel(model: string, { shipped, downloaded }: ModelPlaces): Promise<Located> {
  if (isAbsolute(model) || model.startsWith('.')) return { folder: resolve(model) }
  const [, owner, name, revision = 'main'] = hubName.exec(model) ?? []
  if (owner !== undefined && name !== undefined) {
    const folder = join(downloaded, owner, `${name}@${encodeURIComponent(revision)}`)
    return { folder, name: model, hub: { owner, name, revision } }
  }
  const folder = join(shipped, model)
  if (/^[\w.-]+$/.test(model) && (await isThere(join(folder, 'config.json')))) return { folder }
  const known = await shippedModels(shipped)
  throw new Fatal({
    code: 'model_unusable',
    message: `there is no model "${model}"${didYouMean(model, known)}`,
    hint: `embedder.model is one of ${known.join(', ')}, a folder that begins with . or /, or owner/name on the hub`,
  })
}

/** Whether nothing has to be downloaded. */
export async function isComplete({ folder }: Located, { dtype = 'auto' }: ModelOptions): Promise<boolean> {
  return chooseWeights(await listFiles(folder), dtype) !== undefined
}

/** Finds the model, downloads it if need be, and reads it. Throws what `locateModel`, `downloadModel` and `readModel` do. */
export async function openModel(options: OpenModelOptions): Promise<Model> {
  const { hub, signal, progress, dtype = 'auto', dimension, prefixes } = options
  const located = await locateModel(options.model, options)
  const { folder, name } = located
  if (located.hub !== undefined && !(await isComplete(located, options))) {
    await downloadModel({ hub, model: located.hub, dtype, folder, signal, progress })
  }
  return await readModel(folder, { name, dtype, dimension, prefixes })
}

async function shippedModels(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
}
