import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { json, startServer } from './harness.ts'

test('every answer says that browsers make nothing else of it, and keep none', async () => {
  await using server = await startServer({ token: 'secret-token' })
  const authorization = 'Bearer secret-token'
  const answers = {
    data: await server.fetch('/v1/topics', { headers: { authorization } }),
    refused: await server.fetch('/v1/topics'),
    missing: await server.fetch('/v1/nothing', { headers: { authorization } }),
    wrong: await server.fetch('/v1/topics', { ...json(1), headers: { authorization } }),
    probe: await server.fetch('/readyz'),
    stream: await server.fetch('/v1/live/tickets', { headers: { authorization } }),
  }
  for (const [name, { headers, body }] of Object.entries(answers)) {
    expect(Object.fromEntries(headers), name).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'permissions-policy': expect.stringContaining('camera=()'),
      'content-security-policy': expect.stringContaining("default-src 'none'"),
      'cache-control': 'no-store',
    })
    expect(headers.has('strict-transport-security'), name).toBe(false)
    await body?.cancel()
  }
})

test('the dashboard may run its own scripts and ask its own server, and is kept as its files say', async () => {
  await using server = await startServer()
  await mkdir(join(server.folder, 'dashboard/assets'), { recursive: true })
  await writeFile(join(server.folder, 'dashboard/index.html'), '<!doctype html>')
  await writeFile(join(server.folder, 'dashboard/assets/index-abc.js'), '1')
  for (const path of ['/', '/assets/index-abc.js', '/some/page']) {
    const { headers } = await server.fetch(path)
    const policy = headers.get('content-security-policy') ?? ''
    expect(policy).toContain("script-src 'self';")
    expect(policy).toContain("connect-src 'self';")
    expect(policy).not.toMatch(/unsafe|\*|https?:|wss?:/)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('cache-control')).toMatch(path.startsWith('/assets') ? /immutable/ : /no-cache/)
  }
})
