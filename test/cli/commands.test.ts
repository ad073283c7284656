import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { callCli } from '../support/call-cli.ts'
import { type RunningCli, startCli, tempFolder } from '../support/cli.ts'

const pipeline = `
name: orders
source: { topic: orders }
processors:
  - filter: value.total > 0
sinks:
  - clickhouse: { table: orders, columns: { customer: String, total: Float64 } }
  - live: { channel: paid }
tests:
  - name: nothing to pay
    given: [{ value: { customer: ann, total: 0 } }]
    expect: { live.paid: [] }
  - name: wrong on purpose
    given: [{ value: { customer: ann, total: 5 } }]
    expect: { live.paid: [{ value: { total: 6 } }] }
`

async function project(name = 'orders', text = pipeline) {
  const folder = await tempFolder()
  await mkdir(join(folder.path, 'pipelines'))
  await writeFile(join(folder.path, 'pipelines', `${name}.yaml`), text)
  return folder
}

const reviews = `
name: reviews
source: { topic: reviews }
processors:
  - embed: { text: value.text, as: meaning }
sinks:
  - vectors: { collection: reviews, vector: meaning, fields: [text, stars] }
`

describe('without a running process', () => {
  let folder: Awaited<ReturnType<typeof project>>
  const cli = (...args: string[]) => callCli(args, folder.path)
  beforeAll(async () => {
    folder = await project()
  })
  afterAll(() => folder[Symbol.asyncDispose]())

  test('a failure says why, and shows a stack only when asked', async () => {
    const failed = await cli('lint', 'pipelines/oders.yaml')
    expect(failed).toMatchObject({ code: 1, stdout: '' })
    expect(failed.stderr).toContain('pipelines/oders.yaml is not there')
    expect(failed.stderr).not.toMatch(/^\s+at /m)
    expect((await cli('lint', 'pipelines/oders.yaml', '--verbose')).stderr).toMatch(/^\s+at /m)
  })

  test('init writes a pipeline that passes lint, and never overwrites', async () => {
    const empty = await tempFolder()
    const run = (...args: string[]) => callCli(args, empty.path)
    expect(await run('lint')).toMatchObject({ code: 1, stderr: expect.stringContaining('millrace init') })
    expect(await run('init', 'reviews')).toMatchObject({ code: 0 })
    expect(await run('lint')).toMatchObject({ code: 0, stdout: '1 pipeline checked, no problem found\n' })
    expect(await run('init', 'reviews')).toMatchObject({ code: 1, stderr: expect.stringContaining('file_exists') })
    const schema = JSON.parse(await readFile(join(empty.path, 'schemas/pipeline.schema.json'), 'utf8'))
    expect(JSON.parse((await run('schema')).stdout)).toEqual(schema)
    await empty[Symbol.asyncDispose]()
  })

  test('lint says where, and what was meant', async () => {
    await using wrong = await project('wrong', pipeline.replace('filter:', 'fliter:'))
    const text = await callCli(['lint'], wrong.path)
    expect(text.code).toBe(1)
    expect(text.stderr).toContain('pipelines/wrong.yaml:5:5')
    expect(text.stderr).toContain('did you mean "filter"?')
    const json = await callCli(['lint', '--json'], wrong.path)
    expect(JSON.parse(json.stdout)).toMatchObject({ errors: 1, problems: [{ line: 5, column: 5, severity: 'error' }] })
    expect(await callCli(['run'], wrong.path)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('invalid_pipeline'),
    })
  })

  test('two pipelines of one name are refused', async () => {
    await using twice = await project()
    await writeFile(join(twice.path, 'pipelines', 'second.yaml'), pipeline)
    const { code, stderr } = await callCli(['lint'], twice.path)
    expect(code).toBe(1)
    expect(stderr).toContain('there is another pipeline "orders", in pipelines/orders.yaml')
    expect(stderr).toContain('pipelines/second.yaml:2:7')
  })

  test('a runtime file with a mistake is shown with its place', async () => {
    await using wrong = await project()
    await writeFile(join(wrong.path, 'millrace.yaml'), 'server:\n  prot: 80\n')
    const { code, stderr } = await callCli(['topics'], wrong.path)
    expect(code).toBe(1)
    expect(stderr).toContain('millrace.yaml:2:3')
    expect(stderr).toContain('did you mean "port"?')
  })

  test('test runs the tests of the files', async () => {
    const { code, stdout } = await cli('test')
    expect(code).toBe(1)
    expect(stdout).toMatch(/✓ nothing to pay/)
    expect(stdout).toMatch(/✗ wrong on purpose .*\n +live\.paid\[0\]\.value\.total: expected 6, got 5/)
    expect(stdout).toContain('1 passed, 1 failed')
    const json = JSON.parse((await cli('test', '--json')).stdout)
    expect(json).toMatchObject({ passed: 1, failed: 1 })
  })

  test('list explains components from their schemas', async () => {
    const all = JSON.parse((await cli('list', '--json')).stdout)
    expect(all).toContainEqual(expect.objectContaining({ kind: 'processor', name: 'filter' }))
    expect((await cli('list', 'clickhouse')).stdout).toMatch(/table +string, required/)
    expect(await cli('list', 'clickhose')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('did you mean "clickhouse"?'),
    })
  })

  test('topics and publish work on the data itself', async () => {
    expect((await cli('publish', 'orders', '{}')).stderr).toContain('millrace topics create orders')
    expect(await cli('topics', 'create', 'orders', '--partitions', '2')).toMatchObject({ code: 0 })
    await writeFile(
      join(folder.path, 'orders.ndjson'),
      '{"customer":"ann","total":1}\n\n{"customer":"bob","total":2}\n',
    )
    const published = await cli('publish', 'orders', '--key', '/customer', '--file', join(folder.path, 'orders.ndjson'))
    expect(published).toMatchObject({ code: 0, stdout: '2 events accepted by orders\n' })
    expect(JSON.parse((await cli('topics', '--json')).stdout).topics).toMatchObject([{ name: 'orders', records: 2 }])
    expect((await cli('topics')).stdout).toMatch(/^orders +2 +2 +/m)
  })

  test('publish says which event is wrong, and accepts nothing of its request', async () => {
    await cli('topics', 'create', 'bad')
    const file = join(folder.path, 'bad.ndjson')
    await writeFile(file, '{"id":1}\n{"id":\n')
    expect(await cli('publish', 'bad', '--file', file)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('bad.ndjson, line 2 is not JSON'),
    })
    expect(await cli('publish', 'bad', '--key', '/id', '{"id":1}', '{}')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('event 2: there is no key at /id'),
    })
    await mkdir(join(folder.path, 'schemas'), { recursive: true })
    await writeFile(join(folder.path, 'schemas', 'bad.schema.json'), '{"properties":{"id":{"type":"integer"}}}')
    expect(await cli('publish', 'bad', '{"id":"x"}')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('event 1 at /id: must be integer'),
    })
    expect(JSON.parse((await cli('topics', 'describe', 'bad', '--json')).stdout).records).toBe(0)
    expect(await cli('publish', 'bad', '--file', 'gone.ndjson')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('gone.ndjson'),
    })
  })

  test('a command for running pipelines says that there is none', async () => {
    expect(await cli('pipelines', 'pause', 'orders')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('not_running'),
    })
    const unreachable = await cli('topics', '--server', '127.0.0.1:1', '--json')
    expect(unreachable.code).toBe(1)
    expect(JSON.parse(unreachable.stderr).error).toMatchObject({ code: 'server_unreachable' })
  })

  test('a data folder that cannot be one is refused with what to do', async () => {
    await writeFile(join(folder.path, 'file'), '')
    const { code, stderr } = await cli('run', '--data', 'file/data')
    expect(code).toBe(1)
    expect(stderr).toMatch(/^error: .*file\/data/m)
    expect(stderr).toMatch(/^hint: /m)
  })
})

/** Machines under load take their time. */
const slow = { timeout: 15_000 }

describe('with a running process', () => {
  let folder: Awaited<ReturnType<typeof project>>
  let server: RunningCli
  const cli = (...args: string[]) => callCli(args, folder.path)
  const json = async (...args: string[]) => JSON.parse((await cli(...args, '--json')).stdout)
  beforeAll(async () => {
    folder = await project()
    await writeFile(join(folder.path, 'pipelines', 'reviews.yaml'), reviews)
    server = await startCli(['run'], { cwd: folder.path })
  })
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })

  test('publish, query and dlq go through it', async () => {
    const orders = ['{"customer":"ann","total":3}', '{"customer":"bob","total":0}', '{"customer":"cid"}']
    expect(await cli('publish', 'orders', ...orders)).toMatchObject({ code: 0 })

    await expect
      .poll(() => json('query', 'SELECT customer, total FROM orders'), slow)
      .toMatchObject({
        columns: [{ name: 'customer' }, { name: 'total' }],
        rows: [{ customer: 'ann', total: 3 }],
      })
    expect((await cli('query', 'SELECT customer, total FROM orders', '--csv')).stdout).toBe('customer,total\nann,3\n')
    const chosen = ['query', 'SELECT count() AS n FROM orders WHERE customer = {c:String}', '--param', 'c=ann']
    expect((await cli(...chosen)).stdout).toBe('n\n1\n')
    expect(await cli('query', 'DROP TABLE orders')).toMatchObject({ code: 1 })

    expect((await json('dlq')).queues).toMatchObject([
      { pipeline: 'orders', records: 1 },
      { pipeline: 'reviews', records: 0 },
    ])
    const letter = (await cli('dlq', 'show', 'orders')).stdout
    expect(letter).toContain('expression_failed in filter')
    expect(letter).toContain('{"customer":"cid"}')
  })

  test('pipelines are listed, paused, resumed, put and deleted', async () => {
    expect(await json('pipelines')).toMatchObject({
      pipelines: [{ name: 'orders', state: 'running' }, { name: 'reviews' }],
    })
    expect(await cli('pipelines', 'pause', 'orders')).toMatchObject({ code: 0, stdout: 'orders is paused\n' })
    expect(await json('pipelines')).toMatchObject({ pipelines: [{ state: 'paused' }, { state: 'running' }] })
    expect(await cli('pipelines', 'resume', 'orders')).toMatchObject({ code: 0 })
    expect(await cli('pipelines', 'pause', 'oders')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('did you mean "orders"?'),
    })
    await writeFile(join(folder.path, 'extra.yaml'), 'name: extra\nsource: { topic: orders }\nsinks: [live: extra]\n')
    expect(await cli('pipelines', 'put', 'extra.yaml')).toMatchObject({ code: 0 })
    expect((await json('pipelines')).pipelines).toHaveLength(3)
    expect(await cli('pipelines', 'delete', 'extra')).toMatchObject({ code: 0, stdout: 'extra is deleted\n' })
    await writeFile(join(folder.path, 'bad.yaml'), 'name: bad\nsource: { topc: orders }\nsinks: [live: x]\n')
    expect(await cli('pipelines', 'put', 'bad.yaml')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/2:\d+.*topc/),
    })
  })

  test('search finds by meaning, with a filter and a bound', async () => {
    const given = [
      '{"text":"The battery is empty after an hour","stars":1}',
      '{"text":"A lovely colour","stars":5}',
      '{"text":"It does not charge any more","stars":2}',
    ]
    expect(await cli('publish', 'reviews', ...given)).toMatchObject({ code: 0 })
    const search = (...more: string[]) => json('search', 'reviews', 'power', 'problems', ...more)
    await expect.poll(async () => (await search()).matches?.length, slow).toBe(3)
    expect((await search()).matches[2].fields).toEqual({ text: 'A lovely colour', stars: 5 })
    expect((await search('-k', '1', '--filter', 'stars=2')).matches).toMatchObject([{ fields: { stars: 2 } }])
    expect((await search('--filter', '{"stars":{"$gt":1}}')).matches).toHaveLength(2)
    expect((await search('--min-score', '0.99')).matches).toEqual([])
    expect((await cli('search', 'reviews', 'colour', '-k', '1')).stdout).toMatch(
      /^0\.\d{3} .*\n +text: A lovely colour/,
    )
    const found = (...options: string[]) => cli('search', 'reviews', 'lovely charge', '-k', '1', ...options)
    expect((await found('--hybrid')).stdout).toMatch(/^0\.\d{3} .* meaning -?0\.\d{3}, words 0\.\d{3}\n +text: /)
    expect((await found('--hybrid', '1', '--json')).stdout).toContain('"words"')
    expect((await found('--recent', '7d')).stdout).toMatch(/^0\.\d{3} .* meaning 0\.\d{3}\n/)
    expect(await found('--recent', 'soon')).toMatchObject({ stderr: expect.stringContaining('such as 12h or 7d') })
    expect(await found('--hybird')).toMatchObject({ stderr: expect.stringContaining('--hybrid') })
    expect(await cli('search', 'reviews', '--hybrid', 'power')).toMatchObject({
      stderr: expect.stringContaining('behind the text'),
    })
    expect(await cli('search', 'rviews', 'power')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('collection_not_found'),
    })
  })
})
