import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { ModelSession } from '../../../src/embedding/local/session.ts'
import type { DownloadProgress } from '../../../src/embedding/models/download.ts'
import { type ModelSettings, openModel } from '../../../src/embedding/models/locate.ts'
import { temporaryFolder } from '../support.ts'
import { FakeHub, sha256 } from './fake-hub.ts'
import { cls, sep, tinyModel, tokenVector, unit, width } from './tiny-model.ts'

const both = {
  'onnx/model.onnx': 'external.onnx',
  'onnx/model.onnx_data': 'external.onnx_data',
  'onnx/model_quantized.onnx': 'cosine.onnx',
}
const prompts = {
  'config_sentence_transformers.json': { prompts: { query: 'q: ' } },
  'modules.json': [{ path: '2_Dense', type: 'sentence_transformers.models.Dense' }],
  '2_Dense/config.json': { out_features: 8 },
}

async function fakeHub(weights: Readonly<Record<string, string>> = both): Promise<FakeHub> {
  return FakeHub.start(await tinyModel(weights, prompts))
}

interface Asking extends Partial<ModelSettings> {
  readonly token?: string
  readonly signal?: AbortSignal
  readonly progress?: (progress: DownloadProgress) => void
}

/** Opens `owner/tiny` as the embedder would, with its models in the folder. */
async function open(hub: FakeHub, downloaded: string, { token, signal, ...options }: Asking = {}) {
  return openModel({
    model: 'owner/tiny',
    shipped: join(import.meta.dirname, '../../../models'),
    downloaded,
    hub: { url: hub.url, token },
    signal: signal ?? new AbortController().signal,
    ...options,
  })
}

async function filesIn(folder: string): Promise<string[]> {
  return (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
}

describe('a model by its name', () => {
  it.each([true, false])(
    'is downloaded with what it needs and no more, once; the hub lists its files: %s',
    async (lists) => {
      const hub = await fakeHub()
      hub.behaviour.lists = lists
      const folder = await temporaryFolder()
      const seen: DownloadProgress[] = []
      const model = await open(hub, folder, { progress: (progress) => seen.push(progress) })
      expect(model).toMatchObject({ name: 'owner/tiny', prefixes: { query: 'q: ', passage: '' }, dimension: width })
      const files = [
        '2_Dense/config.json',
        'REVISION',
        'SHA256SUMS',
        'config.json',
        'config_sentence_transformers.json',
      ]
      const more = ['modules.json', 'onnx/model_quantized.onnx', 'tokenizer.json', 'tokenizer_config.json']
      expect(await filesIn(join(folder, 'owner'))).toEqual([...files, ...more].map((name) => `tiny@main/${name}`))
      expect(seen.at(-1)).toMatchObject({ model: 'owner/tiny', finished: true })
      expect(seen.at(-1)?.done).toBe(seen.at(-1)?.total)

      const asked = hub.asked.length
      await hub.stop()
      expect(await open(hub, folder)).toEqual(model)
      expect(hub.asked).toHaveLength(asked)
    },
  )

  it('computes vectors', async () => {
    const hub = await FakeHub.start(await tinyModel({ 'model.onnx': 'tokens.onnx' }))
    const session = await ModelSession.load(await open(hub, await temporaryFolder()))
    const [vector] = [await session.run([Int32Array.of(cls, 7, sep)])]
    const expected = unit(
      tokenVector(cls).map((value, c) => value + (tokenVector(7)[c] ?? 0) + (tokenVector(sep)[c] ?? 0)),
    )
    for (const [index, value] of vector.entries()) expect(value).toBeCloseTo(expected[index] ?? Number.NaN, 5)
    await session.close()
  })

  it('gets other weights added, of the same commit, when another dtype is asked for', async () => {
    const hub = await fakeHub()
    const folder = await temporaryFolder()
    await open(hub, folder)
    const commit = hub.revision
    hub.revision = 'b'.repeat(40)
    const before = hub.asked.length
    const model = await open(hub, folder, { dtype: 'fp32' })
    expect(model.weightsData).toHaveLength(1)
    const paths = hub.asked.slice(before).map(({ path }) => path)
    expect(paths).toContain(`/owner/tiny/resolve/${commit}/onnx/model.onnx`)
    expect(paths.filter((path) => path.includes('json'))).toEqual([])
    const sums = await readFile(join(folder, 'owner/tiny@main/SHA256SUMS'), 'utf8')
    expect(sums).toContain(model.weights.sha256)
    expect(sums).toContain('onnx/model_quantized.onnx')
    expect(await readdir(join(folder, 'owner'))).toEqual(['tiny@main'])
  })

  it('is one of a revision, each in a folder of its own', async () => {
    const hub = await fakeHub()
    const folder = await temporaryFolder()
    await open(hub, folder, { model: 'owner/tiny@refs/pr/7' })
    expect(await readdir(join(folder, 'owner'))).toEqual(['tiny@refs%2Fpr%2F7'])
    expect(hub.asked[0]?.path).toBe('/api/models/owner/tiny/revision/refs%2Fpr%2F7?blobs=true')
  })

  it('may have been copied there by hand', async () => {
    const hub = await fakeHub()
    await hub.stop()
    const folder = await temporaryFolder()

    await cp(await tinyModel(), join(folder, 'owner/tiny@main'), { recursive: true })
    expect(await open(hub, folder)).toMatchObject({ name: 'owner/tiny' })
    expect(hub.asked).toEqual([])
  })
})

describe('a token', () => {
  it('is shown to the hub, and to nobody it redirects to', async () => {
    const hub = await fakeHub()
    hub.behaviour.token = 'hf_secret'
    await open(hub, await temporaryFolder(), { token: 'hf_secret' })
    for (const { server, authorization } of hub.asked) {
      expect(authorization).toBe(server === 'hub' ? 'Bearer hf_secret' : undefined)
    }
    expect(hub.storeAsked.length).toBeGreaterThan(0)
  })

  it.each([
    [undefined, /set embedder\.hub\.token \(HF_TOKEN\) to a token that may read it/],
    ['hf_wrong', /see that embedder\.hub\.token is a token that may read it/],
  ])('that is %s is asked for', async (token, hint) => {
    const hub = await fakeHub()
    hub.behaviour.token = 'hf_secret'
    const failure = open(hub, await temporaryFolder(), token === undefined ? {} : { token })
    await expect(failure).rejects.toMatchObject({
      code: 'model_unusable',
      message: expect.stringMatching(
        /does not give out the model owner\/tiny \(HTTP 401\): there is none of this name, or/,
      ),
      hint: expect.stringMatching(hint),
    })
    await expect(failure).rejects.not.toThrow(/hf_/)
  })
})

describe('a download that is disturbed', () => {
  it('goes on where the connection broke', async () => {
    const hub = await fakeHub()
    // Time for what was sent to come to the disk, on a busy machine too.
    hub.behaviour.pieces = { bytes: 500, pauseMs: 400 }
    hub.behaviour.breaks = 2
    const model = await open(hub, await temporaryFolder())
    expect(model.weights.sha256).toBe(sha256(await readFile(model.weights.path)))
    expect(hub.storeAsked.map(({ range }) => range)).toEqual([
      undefined,
      expect.stringMatching(/^bytes=\d+-$/),
      expect.any(String),
    ])
  })

  it('begins anew where a server knows no ranges', async () => {
    const hub = await fakeHub()
    Object.assign(hub.behaviour, { breaks: 1, ranges: false })
    const model = await open(hub, await temporaryFolder())
    expect(model.weights.sha256).toBe(sha256(await readFile(model.weights.path)))
  })

  it('is tried again when the hub is busy', async () => {
    const hub = await fakeHub()
    hub.behaviour.failures = { status: 503, left: 2 }
    await expect(open(hub, await temporaryFolder())).resolves.toBeDefined()
  })

  it('is tried again once when a checksum is wrong, and is then given up for good', async () => {
    const hub = await fakeHub()
    hub.behaviour.replaced.set('onnx/model_quantized.onnx', Buffer.alloc(1_246))
    const folder = await temporaryFolder()
    await expect(open(hub, folder)).rejects.toMatchObject({
      code: 'model_unusable',
      message: expect.stringMatching(
        /sent of onnx\/model_quantized\.onnx does not have the SHA-256 [0-9a-f]{64} that it names/,
      ),
    })
    expect(hub.storeAsked).toHaveLength(2)
    expect(await readdir(join(folder, 'owner'))).toEqual([])
  })

  it('leaves what it has to the next one, which takes up the rest', async () => {
    const hub = await fakeHub()
    hub.behaviour.pieces = { bytes: 100, pauseMs: 20 }
    const folder = await temporaryFolder()
    const end = new AbortController()
    const progress = ({ done, total }: DownloadProgress) => {
      if (done > total - 500) end.abort(new Error('stopped'))
    }
    await expect(open(hub, folder, { signal: end.signal, progress })).rejects.toThrow('stopped')
    const [left = ''] = await readdir(join(folder, 'owner'))
    expect(left).toMatch(/^tiny@main\.part-/)
    expect(await filesIn(join(folder, 'owner'))).toContain(`${left}/onnx/model_quantized.onnx.part`)
    const before = hub.asked.length
    const model = await open(hub, folder)
    expect(model.weights.sha256).toBe(sha256(await readFile(model.weights.path)))
    const again = hub.asked.slice(before)
    expect(again.map(({ path }) => path).filter((path) => path.includes('tokenizer'))).toEqual([])
    expect(hub.storeAsked.at(-1)?.range).toMatch(/^bytes=\d+-$/)
    expect(await readdir(join(folder, 'owner'))).toEqual(['tiny@main'])
  })

  it('goes on after its process was killed', async () => {
    const hub = await fakeHub()
    hub.behaviour.pieces = { bytes: 100, pauseMs: 50 }
    const folder = await temporaryFolder()
    const module = resolve(import.meta.dirname, '../../../dist/src/embedding/models/locate.js')
    const options = { model: 'owner/tiny', shipped: '/nowhere', downloaded: folder, hub: { url: hub.url } }
    const script = `
      const { openModel } = await import(${JSON.stringify(module)})
      await openModel({ ...${JSON.stringify(options)}, signal: new AbortController().signal })`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'inherit' })
    const ended = once(child, 'exit')
    await vi.waitFor(
      async () => {
        const part = (await filesIn(folder)).find((path) => path.endsWith('.onnx.part')) ?? ''
        expect(part).not.toBe('')
        expect((await stat(join(folder, part))).size).toBeGreaterThan(200)
      },
      { timeout: 20_000 },
    )
    child.kill('SIGKILL')
    expect(await ended).toEqual([null, 'SIGKILL'])
    expect(await readdir(join(folder, 'owner'))).not.toContain('tiny@main')

    hub.behaviour.pieces = undefined
    const model = await open(hub, folder)
    expect(model.weights.sha256).toBe(sha256(await readFile(model.weights.path)))
    expect(hub.storeAsked.map(({ range }) => range)).toEqual([undefined, expect.stringMatching(/^bytes=[1-9]\d+-$/)])
    expect(await readdir(join(folder, 'owner'))).toEqual(['tiny@main'])
  }, 30_000)

  it('does not mix commits', async () => {
    const hub = await fakeHub()
    hub.behaviour.pieces = { bytes: 100, pauseMs: 20 }
    const folder = await temporaryFolder()
    const end = new AbortController()
    const progress = ({ done, total }: DownloadProgress) => {
      if (done > total - 500) end.abort(new Error('stopped'))
    }
    await expect(open(hub, folder, { signal: end.signal, progress })).rejects.toThrow('stopped')
    hub.revision = 'b'.repeat(40)
    const before = hub.asked.length
    await open(hub, folder)
    expect(hub.asked.slice(before).map(({ path }) => path)).toContain(
      `/owner/tiny/resolve/${hub.revision}/tokenizer.json`,
    )
    expect(hub.storeAsked.at(-1)?.range).toBeUndefined()
  })

  it('does not disturb another one of the same model', async () => {
    const hub = await fakeHub()
    hub.behaviour.pieces = { bytes: 300, pauseMs: 5 }
    const folder = await temporaryFolder()
    const models = await Promise.all([open(hub, folder), open(hub, folder), open(hub, folder)])
    for (const model of models) expect(model).toEqual(models[0])
    expect(await readdir(join(folder, 'owner'))).toEqual(['tiny@main'])
  })
})

describe('what can never be downloaded', () => {
  it.each([true, false])('a model that the hub does not have; it lists: %s', async (lists) => {
    const hub = await fakeHub()
    hub.behaviour.lists = lists
    const folder = await temporaryFolder()
    await expect(open(hub, folder, { model: 'owner/tinny' })).rejects.toMatchObject({
      code: 'model_unusable',
      message: `the hub ${hub.url} has no model owner/tinny at "main"`,
      hint: expect.stringContaining('owner/name@revision'),
    })
    expect(await readdir(join(folder, 'owner'))).toEqual([])
  })

  it('weights of a dtype that there are none of', async () => {
    const hub = await fakeHub()
    await expect(open(hub, await temporaryFolder(), { dtype: 'q4' })).rejects.toMatchObject({
      message: 'the model owner/tiny has no weights of the dtype q4',
      hint: 'set embedder.dtype to one of fp32, q8',
    })
  })

  it('a model without ONNX weights, or without a tokenizer', async () => {
    const bare = await fakeHub({ 'pytorch_model.bin': 'tokens.onnx' })
    await expect(open(bare, await temporaryFolder())).rejects.toMatchObject({
      message: 'the model owner/tiny has no ONNX weights',
      hint: expect.stringContaining('Xenova/tiny'),
    })
    const mute = await FakeHub.start(await tinyModel(both, { 'tokenizer.json': undefined }))
    await expect(open(mute, await temporaryFolder())).rejects.toThrow(
      'has no tokenizer.json: it is not made for transformers.js',
    )
  })

  it('to a folder that is none', async () => {
    const hub = await fakeHub()
    const folder = await temporaryFolder()
    await writeFile(join(folder, 'owner'), '')
    await expect(open(hub, folder)).rejects.toMatchObject({
      code: 'model_unusable',
      message: expect.stringMatching(/the model cannot be kept in .*owner\/tiny@main: /),
    })
  })
})

it('without a network, it is said where the files could be put', async () => {
  const hub = await fakeHub()
  await hub.stop()
  const folder = await temporaryFolder()
  await expect(open(hub, folder)).rejects.toMatchObject({
    name: 'Retryable',
    code: 'hub_unreachable',
    message: expect.stringMatching(/the model owner\/tiny cannot be downloaded from http:.*ECONNREFUSED/),
    hint: expect.stringContaining(`copy the model's files to ${join(folder, 'owner/tiny@main')} by hand`),
  })
}, 30_000)

it('what another process of this machine has left is taken over; what one is working on is not', async () => {
  const hub = await fakeHub()
  const folder = await temporaryFolder()

  const alive = join(folder, 'owner', `tiny@main.part-${hostname()}-${process.ppid}-1`)
  const elsewhere = join(folder, 'owner', 'tiny@main.part-another.host-1-1')
  const dead = join(folder, 'owner', `tiny@main.part-${hostname()}-999999999-1`)
  const tokenizer = await readFile(join(await tinyModel(), 'tokenizer.json'))
  for (const staging of [alive, elsewhere, dead]) {
    await mkdir(staging, { recursive: true })
    await writeFile(join(staging, 'REVISION'), `${hub.revision}\n`)
    await writeFile(join(staging, 'tokenizer.json'), tokenizer)
  }
  await open(hub, folder)
  expect(hub.asked.some(({ path }) => path.endsWith('/tokenizer.json'))).toBe(false)
  expect((await readdir(join(folder, 'owner'))).sort()).toEqual(
    ['tiny@main', alive, elsewhere].map((path) => path.replace(`${join(folder, 'owner')}/`, '')).sort(),
  )
})
