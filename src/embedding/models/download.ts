import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { errorCode, errorMessage, Fatal, type MillraceError, Retryable } from '../../core/errors.ts'
import { optionalFiles } from './configuration.ts'
import { type Checksums, checksumsFile, hashFile, isThere, readChecksums, readOptionalJson, unusable } from './files.ts'
import { Hub, type HubFile, type HubName, type HubOptions } from './hub.ts'
import { leaveStaging, openStaging, removeStaging } from './staging.ts'
import { chooseWeights, type Dtype, dataOf, dtypesIn, weightNames } from './weights.ts'

/** How far a download is, in bytes. */
export interface DownloadProgress {
  readonly model: string
  readonly done: number
  /** As far as it is known. */
  readonly total: number
  /** Said once, at the end. */
  readonly finished: boolean
}

export interface DownloadOptions {
  readonly hub: HubOptions
  readonly model: HubName
  readonly dtype: Dtype
  /** Where the model will lie. What is there already is not loaded again. */
  readonly folder: string
  readonly signal: AbortSignal
  readonly progress?: ((progress: DownloadProgress) => void) | undefined
}

/** Which commit the files are of, so that other weights of the model are taken from the same. */
const revisionFile = 'REVISION'
const neededFiles = ['config.json', 'tokenizer.json', 'tokenizer_config.json']
const modulesSchema = z.array(z.object({ path: z.string() }))
/** A checksum that is wrong once may be a fault on the way; wrong again, it is wrong at the hub. */
const mostMismatches = 2

/**
 * Loads what the embedder needs of a model. Files are complete and compared with the hub's checksums before they lie in
 * `folder`, `SHA256SUMS` comes last. What an interruption leaves is taken up by the next download. Throws `Retryable`
 * (`hub_unreachable`, `disk_full`), and `Fatal` (`model_unusable`) when the hub has no such model or does not give it out.
 */
export async function downloadModel(options: DownloadOptions): Promise<void> {
  const staging = await openStaging(options.folder).catch((error: unknown) => {
    throw unwritable(options.folder, error)
  })
  try {
    await new ModelDownload(options, staging).run()
  } catch (error) {
    if (error instanceof Fatal) await removeStaging(staging)
    else leaveStaging(staging)
    throw error
  }
  await removeStaging(staging)
}

class ModelDownload {
  readonly #options: DownloadOptions
  readonly #staging: string
  readonly #hub: Hub
  readonly #bytes = new Map<string, { done: number; total: number }>()
  /** How many bytes of each file have been there at most. */
  readonly #furthest = new Map<string, number>()
  #revision: string

  constructor(options: DownloadOptions, staging: string) {
    this.#options = options
    this.#staging = staging
    this.#hub = new Hub(options.hub, options.model, options.folder, options.signal)
    this.#revision = options.model.revision
  }

  async run(): Promise<void> {
    const list = await this.#hub.list()
    await this.#chooseRevision(list?.revision ?? this.#revision)
    if (list === undefined) await this.#getUnlisted()
    else await this.#getListed(list.files)
    for (const path of await this.#layerFiles()) await this.#get({ path })
    await this.#finish()
    this.#report(true)
  }

  /** Files of another commit than the one that is loaded now are of no use. */
  async #chooseRevision(latest: string): Promise<void> {
    const read = async (folder: string) => (await readFile(join(folder, revisionFile), 'utf8').catch(() => '')).trim()
    this.#revision = (await read(this.#options.folder)) || latest
    if ((await read(this.#staging)) === this.#revision) return
    await this.#onDisk(async () => {
      await rm(this.#staging, { recursive: true, force: true })
      await mkdir(this.#staging, { recursive: true })
      await writeFile(join(this.#staging, revisionFile), `${this.#revision}\n`)
    })
  }

  async #getListed(files: readonly HubFile[]): Promise<void> {
    const paths = files.map(({ path }) => path)
    const weights = chooseWeights(paths, this.#options.dtype)
    if (weights === undefined) throw this.#noWeights(dtypesIn(paths))
    const missing = neededFiles.find((path) => !paths.includes(path))
    if (missing !== undefined) throw this.#lacks(missing)
    const wanted = [...neededFiles, ...optionalFiles, ...dataOf(weights, paths), weights]
    const found = files.filter(({ path }) => wanted.includes(path))
    for (const { path, bytes } of found) {
      if (bytes !== undefined && !(await this.#has(path))) this.#bytes.set(path, { done: 0, total: bytes })
    }
    for (const file of found) await this.#get(file)
  }

  /** Asks for every name that a file may have. */
  async #getUnlisted(): Promise<void> {
    for (const path of neededFiles) {
      if (await this.#get({ path })) continue
      throw path === neededFiles[0] ? this.#hub.notFound() : this.#lacks(path)
    }
    for (const path of optionalFiles) await this.#get({ path })
    for (const weights of weightNames(this.#options.dtype)) {
      if (!(await this.#get({ path: weights }))) continue
      for (let part = 0; await this.#get({ path: `${weights}_data${part === 0 ? '' : `_${part}`}` }); part++);
      return
    }
    throw this.#noWeights([])
  }

  /** The configurations of what modules.json names. */
  async #layerFiles(): Promise<string[]> {
    const modules = await readOptionalJson(this.#staging, 'modules.json', modulesSchema, new Map())
    const paths = (modules ?? []).map(({ path }) => path).filter((path) => /^\w+$/.test(path))
    return paths.map((path) => `${path}/config.json`)
  }

  async #has(path: string): Promise<boolean> {
    return (await isThere(join(this.#staging, path))) || (await isThere(join(this.#options.folder, path)))
  }

  /** Gets a file, unless it is there already. False when the hub has none of the name. */
  async #get(file: HubFile): Promise<boolean> {
    if (await this.#has(file.path)) return true
    const target = join(this.#staging, file.path)
    const part = `${target}.part`
    await this.#onDisk(() => mkdir(dirname(target), { recursive: true }))
    let { sha256 } = file
    let mismatches = 0
    const found = await this.#hub.retried(async (gotOn) => {
      // What cannot be compared afterwards is not put together from pieces.
      const from = sha256 === undefined ? 0 : await sizeOf(part)
      const download = await this.#hub.open(file.path, this.#revision, from)
      if (download === undefined) return false
      sha256 ??= download.sha256
      const total = file.bytes ?? download.bytes
      const size = await this.#write(part, file.path, download.from, total, download.body, gotOn)
      if (total !== undefined && size !== total) {
        if (size > total) await rm(part, { force: true })
        throw new Error(`the connection ended after ${size} of ${total} bytes of ${file.path}`)
      }
      if (sha256 !== undefined && (await hashFile(part)) !== sha256) {
        await rm(part, { force: true })
        mismatches++
        const message = `what ${this.#options.hub.url} sent of ${file.path} does not have the SHA-256 ${sha256} that it names`
        throw mismatches < mostMismatches ? new Error(message) : unusable(`${message}: the model cannot be trusted.`)
      }
      return true
    })
    if (found) await this.#onDisk(() => rename(part, target))
    return found
  }

  /** Appends to a part; answers how long it is then. */
  async #write(
    part: string,
    path: string,
    from: number,
    total: number | undefined,
    body: AsyncIterable<Uint8Array>,
    gotOn: () => void,
  ): Promise<number> {
    const file = await this.#onDisk(() => open(part, from > 0 ? 'a' : 'w'))
    let size = from
    try {
      for await (const chunk of body) {
        await this.#onDisk(() => file.writeFile(chunk))
        size += chunk.length
        // Only what is new: a server that breaks off again and again, and always begins anew, would be asked for ever.
        if (size > (this.#furthest.get(path) ?? 0)) gotOn()
        this.#furthest.set(path, Math.max(size, this.#furthest.get(path) ?? 0))
        this.#bytes.set(path, { done: size, total: total ?? size })
        this.#report(false)
      }
      return size
    } finally {
      await file.close()
    }
  }

  #report(finished: boolean): void {
    const { model, progress } = this.#options
    let done = 0
    let total = 0
    for (const each of this.#bytes.values()) {
      done += each.done
      total += each.total
    }
    progress?.({ model: `${model.owner}/${model.name}`, done, total, finished })
  }

  /** Puts what was loaded where it belongs: in one step, or file by file beside what is there. */
  async #finish(): Promise<void> {
    const { folder } = this.#options
    await this.#onDisk(async () => {
      const files = await filesBelow(this.#staging)
      const sums = new Map<string, string>()
      for (const path of files) sums.set(path, await hashFile(join(this.#staging, path)))
      await writeSums(this.#staging, sums)
      const isNew = await rename(this.#staging, folder).then(
        () => true,
        (error: unknown) => {
          if (['ENOTEMPTY', 'EEXIST'].includes(errorCode(error) ?? '')) return false
          throw error
        },
      )
      if (isNew) return
      const added = new Map(await readChecksums(folder))
      // What weights need comes before them: weights that are there are complete.
      for (const path of files.sort((a, b) => Number(a.endsWith('.onnx')) - Number(b.endsWith('.onnx')))) {
        if (await isThere(join(folder, path))) continue
        await mkdir(dirname(join(folder, path)), { recursive: true })
        await rename(join(this.#staging, path), join(folder, path))
        added.set(path, sums.get(path) ?? '')
      }
      await writeSums(this.#staging, added)
      await rename(join(this.#staging, checksumsFile), join(folder, checksumsFile))
    })
  }

  async #onDisk<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw unwritable(this.#options.folder, error)
    }
  }

  #lacks(path: string): Fatal {
    const { owner, name } = this.#options.model
    return unusable(`the model ${owner}/${name} has no ${path}: it is not made for transformers.js.`)
  }

  #noWeights(others: readonly string[]): Fatal {
    const { model, dtype } = this.#options
    return new Fatal({
      code: 'model_unusable',
      message: `the model ${model.owner}/${model.name} has no ${dtype === 'auto' ? 'ONNX weights' : `weights of the dtype ${dtype}`}`,
      hint:
        others.length > 0
          ? `set embedder.dtype to one of ${others.join(', ')}`
          : `look for the same model under onnx-community or Xenova, such as Xenova/${model.name}`,
    })
  }
}

/** The path of every file that is complete, with slashes, but for the checksums. */
async function filesBelow(folder: string): Promise<string[]> {
  const { glob } = await import('tinyglobby')
  const files = await glob('**', { cwd: folder, dot: true })
  return files.filter((path) => !path.endsWith('.part') && path !== checksumsFile)
}

async function writeSums(folder: string, sums: Checksums): Promise<void> {
  const lines = [...sums].sort().map(([path, sha256]) => `${sha256}  ${path}\n`)
  await writeFile(join(folder, checksumsFile), lines.join(''))
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  )
}

function unwritable(folder: string, error: unknown): MillraceError {
  const code = errorCode(error)
  if (code === 'model_unusable' && error instanceof Fatal) return error
  const message = `the model cannot be kept in ${folder}: ${errorMessage(error)}`
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new Retryable({
      code: 'disk_full',
      message,
      hint: 'free some space, or choose another data folder',
      cause: error,
    })
  }
  return unusable(`${message}.`, error)
}
