import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startClickHouseServer } from '../services/clickhouse-server.ts'
import { findService } from '../services/services.ts'
import { sleep } from '../support/api.ts'
import { type RunningCli, startCli, tempFolder } from '../support/cli.ts'

const project = resolve(import.meta.dirname, '../..')
const readme = await readFile(join(project, 'README.md'), 'utf8')
const blocks = (language: string) =>
  [...readme.matchAll(new RegExp(`\`\`\`${language}\\n([^]*?)\`\`\``, 'g'))].map(([, text = '']) => text.trim())
const run = promisify(execFile)

/** One string per command; a command may go on after a backslash. */
const commands = blocks('sh')
  .flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'))
  .filter((line) => !line.startsWith('npm'))
const onServers = (command: string) => command.startsWith('KAFKA_BROKERS')

/** With `CI=true` a program that is missing is a failure. */
async function isThere(program: string): Promise<boolean> {
  if (process.env.CI === 'true') return true
  return run('sh', ['-c', `command -v ${program}`], { cwd: project }).then(
    () => true,
    () => false,
  )
}

describe('README.md', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>
  let millrace: RunningCli
  beforeAll(async () => {
    folder = await tempFolder()
    millrace = await startCli(['run'], { cwd: project, env: { MILLRACE_DATA: join(folder.path, 'data') } })
    // The documents are being embedded; the commands search among those that are there.
    await sleep(5_000)
  })
  afterAll(async () => {
    await millrace[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })

  it('begins with the commands that the tests and the start are known by', () => {
    expect(blocks('sh')[0]).toBe('npm ci && npm start')
    expect(readme).toContain('`npm test`')
  })

  it.for(commands.filter(onServers))('%s', async (command, { skip }) => {
    const [kafka, milvus] = [await findService('kafka'), await findService('milvus')]
    if (kafka === undefined || milvus === undefined) return skip('there are no servers')
    await using clickhouse = await startClickHouseServer()
    const here = command
      .replace('localhost:9092', kafka)
      .replace('http://localhost:8123', clickhouse.url)
      .replace('localhost:19530', milvus)
    const env = { ...process.env, MILLRACE_DATA: join(folder.path, 'bound'), MILLRACE_SERVER_PORT: '0', NO_COLOR: '1' }
    const { stdout, stderr } = await run('sh', ['-c', `exec timeout 10 env ${here}`], { cwd: project, env }).catch(
      (stopped: { stdout: string; stderr: string }) => stopped,
    )
    expect(stdout).toContain('support-tickets support.tickets → clickhouse, vectors, live')
    expect(stderr).not.toContain('support-tickets has stopped')
  })

  it.for(commands.filter((command) => !onServers(command)))('%s', async (command, { skip }) => {
    const [program = ''] = command.split(' ')
    if (!(await isThere(program))) skip(`${program} is not installed here`)

    const here = command.replaceAll('http://127.0.0.1:8080', millrace.address)
    const env = { ...process.env, MILLRACE_DATA: join(folder.path, 'data'), NO_COLOR: '1' }
    if (here.includes(' tap ')) {
      // It follows until it is stopped.
      const { stdout } = await run('sh', ['-c', `timeout 4 ${here} || true`], { cwd: project, env })
      expect(stdout.split('\n').length).toBeGreaterThan(2)
      return
    }
    const { stdout } = await run('sh', ['-c', here], { cwd: project, env })
    expect(stdout.trim()).not.toBe('')
  })

  it('shows a pipeline that is one, and whose test passes', async () => {
    const [yaml = ''] = blocks('yaml')
    const file = join(folder.path, 'shown.yaml')
    await writeFile(file, yaml)
    for (const command of ['lint', 'test']) await run('./millrace', [command, file], { cwd: project })
  })

  it('shows a program that receives events', async () => {
    const [program = ''] = blocks('js')
    const module = program
      .replace('millrace/client', join(project, 'dist/src/client/index.js'))
      .replace('http://127.0.0.1:8080', millrace.address)
    const running = run(process.execPath, ['--input-type=module', '-e', module], { cwd: project, timeout: 15_000 })
    await sleep(2_000)
    await fetch(`${millrace.address}/v1/topics/support.tickets/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ subject: 'Charged twice', body: 'My card was charged twice for one invoice.' }),
    })
    await sleep(3_000)
    running.child.kill()
    const { stdout } = await running.catch((error: { stdout: string }) => error)
    expect(stdout).toContain("subject: 'Charged twice'")
  })
})
