import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { checkDoor, protection } from '../../src/cli/protection.ts'
import { startMillrace } from '../../src/cli/start.ts'
import { loadRuntime } from '../../src/config/runtime.ts'
import { silentLog } from '../../src/telemetry/index.ts'
import { seconds, signBySecret } from '../access/signing.ts'
import { makeCertificates } from '../services/certificates.ts'
import { callCli } from '../support/call-cli.ts'
import { tempFolder } from '../support/cli.ts'

const secret = 'a secret that has thirty-two bytes, and some more'

async function settings(text: string) {
  const folder = await tempFolder()
  onTestFinished(() => folder[Symbol.asyncDispose]())
  await writeFile(join(folder.path, 'millrace.yaml'), text)
  const env = { MILLRACE_DATA: join(folder.path, 'data'), MILLRACE_SERVER_PORT: '0' }
  return { folder: folder.path, runtime: () => loadRuntime({ env, cwd: folder.path }) }
}

test.each([
  ['', 'every program of this machine may do everything'],
  ['server: { token: "1234567890123456" }', 'token, without TLS'],
  [`server: { jwt: { secret: "${secret}" }, access: [{ search: x }] }`, 'JSON Web Tokens, 1 rule, without TLS'],
  [
    'server: { token: "1234567890123456", tls: { cert: a, key: b, ca: c, clients: required }, access: [{ search: x }, { query: y }] }',
    'token or certificates of clients (required), 2 rules, over TLS',
  ],
])('%j is told as: %s', async (text, expected) => {
  const { server } = await (await settings(text)).runtime()
  expect(protection(server)).toBe(expected)
})

test('the doctor finds a key that cannot be used', async () => {
  const { runtime } = await settings('server: { jwt: { publicKey: no.pem }, access: [{ search: x }] }')
  expect(await checkDoor((await runtime()).server)).toMatchObject({
    level: 'fail',
    message: expect.stringContaining('no.pem'),
  })
})

test('commands reach the process that runs here by its certificate, and show their own', async () => {
  const { folder, runtime } = await settings(`
server:
  jwt: { secret: "${secret}" }
  tls: { cert: tls/server.pem, key: tls/server.key, ca: tls/authority.pem, clients: required }
  access:
    - when: { cn: client }
      subscribe: ["*"]
    - when: { role: publisher }
      publish: [orders]
      manage: [orders]
`)
  const { client } = await makeCertificates(join(folder, 'tls'))
  const running = await startMillrace({ runtime: await runtime(), specs: [], log: silentLog })
  onTestFinished(() => running.stop(new AbortController().signal))
  expect(running.address).toMatch(/^https:/)

  const shown = ['--cert', client.certificate, '--cert-key', client.key]
  const token = await signBySecret(secret, { sub: 'shop', role: 'publisher', exp: seconds() + 60 })
  const publisher = [...shown, '--token', token]
  expect(await callCli(['topics', 'create', 'orders', ...publisher], folder)).toMatchObject({ code: 0, stderr: '' })
  const refused = await callCli(['topics', 'create', 'others', ...publisher], folder)
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('"shop" may not manage "others"') })
  const list = await callCli(['topics', '--json', ...shown], folder)
  expect(list).toMatchObject({ code: 0, stdout: expect.stringContaining('orders') })
  const without = await callCli(['topics', '--json'], folder)
  expect(without).toMatchObject({ code: 1, stderr: expect.stringContaining('server_unreachable') })
  const strange = await callCli(['topics', '--server', running.address, ...shown], folder)
  expect(strange).toMatchObject({ code: 1, stderr: expect.stringMatching(/certificate/) })
}, 60_000)
