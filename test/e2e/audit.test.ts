import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SignJWT } from 'jose'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { openEmbeddedLog } from '../../connectors/embedded-log/index.ts'
import { Socket } from '../live/socket.ts'
import { until } from '../support/api.ts'
import { startCli, tempFolder } from '../support/cli.ts'

const secret = 'a-secret-of-thirty-two-bytes-or-more!'
const serverToken = 'the-token-of-the-server-itself'
const settings = `
server:
  token: ${serverToken}
  jwt: { secret: ${secret} }
  access:
    - { subscribe: ["*"], publish: [orders] }
`
const events = z.object({ events: z.array(z.object({ value: z.record(z.string(), z.unknown()) })) })

function sign(subject: string, expires: string, key = secret): Promise<string> {
  const token = new SignJWT({ sub: subject }).setProtectedHeader({ alg: 'HS256' })
  return token.setExpirationTime(expires).sign(new TextEncoder().encode(key))
}

test('who asked for what is in the topic, and no token is there, in the log, or in what anyone is told', async () => {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'millrace.yaml'), settings)
  const good = await sign('ann', '1h')
  const expired = await sign('bob', '-1h')
  const forged = await sign('eve', '1h', `another-${secret}`)
  const garbage = 'no-token-at-all-but-a-secret-of-someone'
  const tokens = [good, expired, forged, garbage, serverToken]
  await using server = await startCli(['run', '--json'], { cwd: folder.path })
  const { address } = server
  const answers: string[] = []
  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(address + path, { ...init, signal: AbortSignal.timeout(2_000) })
    if (response.headers.get('content-type') !== 'text/event-stream') answers.push(await response.text())
    else await response.body?.cancel()
    return response.status
  }
  const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
  const trail = async () => {
    const response = await fetch(`${address}/v1/topics/millrace.audit/events?limit=1000`, as(serverToken))
    return response.ok ? events.parse(await response.json()).events.map(({ value }) => value) : []
  }

  for (const token of tokens) {
    await ask('/v1/topics', as(token))
    await ask(`/v1/live/secrets?token=${token}`)
    await ask(`/v1/live/secrets?token=${token}`, as(token))
    await ask('/v1/query', { ...as(token), method: 'POST', body: JSON.stringify({ sql: 'SELECT 1' }) })
    await ask('/v1/live', as(token))
    // Of those that are refused before there is a socket, the client is told by an HTTP status.
    const refused = await Socket.open(address, { path: `/v1/live?token=${token}` }).catch(String)
    if (typeof refused === 'string') answers.push(refused)
    else refused.close()
    const socket = await Socket.open(address)
    socket.send({ id: 1, type: 'authenticate', token })
    answers.push(JSON.stringify(await socket.reply(1)))
    socket.send({ id: 2, type: 'subscribe', channel: 'orders' })
    socket.send({ id: 3, type: 'publish', topic: 'payments', events: [{}] })
    if (token === good) {
      answers.push(JSON.stringify(await socket.reply(2)), JSON.stringify(await socket.reply(3)))
    }
    socket.close()
  }

  const has = async (entry: Record<string, unknown>) => {
    const wanted = Object.entries(entry)
    return (await trail()).some((found) => wanted.every(([name, value]) => found[name] === value))
  }
  await until(() => has({ action: 'subscribe', name: 'orders', principal: 'ann', outcome: 'allowed' }))
  await until(() =>
    has({ action: 'publish', name: 'payments', principal: 'ann', outcome: 'refused', code: 'forbidden' }),
  )
  await until(() => has({ action: 'query', principal: 'ann', outcome: 'refused' }))
  await until(() => has({ action: 'authenticate', principal: 'ann', outcome: 'allowed' }))
  await until(() => has({ action: 'authenticate', principal: null, outcome: 'refused', code: 'token_expired' }))
  await until(() => has({ action: 'authenticate', principal: null, outcome: 'refused', code: 'token_invalid' }))

  // "*" lets ann follow every channel and read every topic but the server's own.
  expect(await ask('/v1/topics/millrace.audit/events', as(good))).toBe(403)
  const written = JSON.stringify(await trail())
  server.kill('SIGTERM')
  await server.exited
  const said = [written, server.stdout(), server.stderr(), ...answers].join('\n')
  expect(written).toContain('"address":"127.0.0.1"')
  for (const token of tokens) {
    expect(said).not.toContain(token)
    for (const part of token.split('.')) if (part.length > 40) expect(said).not.toContain(part)
  }
}, 60_000)

test('what waits is stored when the process ends', async () => {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'millrace.yaml'), settings)
  await using server = await startCli(['run'], { cwd: folder.path })
  await fetch(`${server.address}/v1/topics`, { headers: { authorization: 'Bearer wrong-and-unknown' } })
  server.kill('SIGTERM')
  await server.exited
  const log = await openEmbeddedLog(join(folder.path, 'data/log'))
  const records = await log.read({ topic: 'millrace.audit', partition: 0 }, 0, { events: 10, bytes: 10_000 })
  await log.close()
  expect(records.map(({ value }) => new TextDecoder().decode(value ?? undefined))).toEqual([
    expect.stringContaining('"code":"token_invalid"'),
  ])
})
