import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { oauthTokens } from '../../../connectors/kafka/oauth.ts'
import { Fatal, Retryable } from '../../../src/core/errors.ts'

let stop: (() => Promise<void>) | undefined
afterEach(async () => stop?.())

interface Asked {
  readonly authorization: string | undefined
  readonly body: string
}

/** A token endpoint that answers what it is told to. */
async function endpoint(answers: readonly (readonly [status: number, body: object])[]) {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (part: Buffer) => (body += part.toString()))
    request.on('end', () => {
      const [status, answer] = answers[Math.min(asked.length, answers.length - 1)] ?? [500, {}]
      asked.push({ authorization: request.headers.authorization, body })
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stop = () => new Promise((resolve) => server.close(() => resolve()))
  const address: AddressInfo | string | null = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  return { asked, tokenUrl: `http://127.0.0.1:${port}/token` }
}

test('a token is asked for with the client credentials and the scope, and kept until shortly before it expires', async () => {
  const { asked, tokenUrl } = await endpoint([[200, { access_token: 'a', expires_in: 3600 }]])
  const token = oauthTokens({ tokenUrl, clientId: 'me', clientSecret: 's:1', scope: 'kafka' })
  expect(await Promise.all([token(), token()])).toEqual(['a', 'a'])
  expect(await token()).toBe('a')
  expect(asked).toHaveLength(1)
  expect(asked[0]?.body).toBe('grant_type=client_credentials&scope=kafka')
  expect(Buffer.from(asked[0]?.authorization?.slice(6) ?? '', 'base64').toString()).toBe('me:s%3A1')
})

test('a token that is about to expire is replaced', async () => {
  const { tokenUrl } = await endpoint([
    [200, { access_token: 'a', expires_in: 0.1 }],
    [200, { access_token: 'b', expires_in: 3600 }],
  ])
  const token = oauthTokens({ tokenUrl, clientId: 'me', clientSecret: 's' })
  expect(await token()).toBe('a')
  await new Promise((resolve) => setTimeout(resolve, 60))
  expect(await token()).toBe('b')
})

test('wrong credentials are final, trouble of the endpoint passes, and neither tells the secret', async () => {
  const { tokenUrl } = await endpoint([
    [401, { error: 'invalid_client' }],
    [503, {}],
    [200, {}],
    [200, { access_token: 'a' }],
  ])
  const token = oauthTokens({ tokenUrl, clientId: 'me', clientSecret: 'very-secret' })
  const refused = await token().catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(Fatal)
  expect(String(refused)).not.toContain('very-secret')
  await expect(token()).rejects.toBeInstanceOf(Retryable)
  await expect(token()).rejects.toBeInstanceOf(Retryable)
  expect(await token()).toBe('a')
})

test('an address with credentials in it is refused, and does not get into messages', () => {
  const open = () => oauthTokens({ tokenUrl: 'https://me:very-secret@host/token', clientId: 'me', clientSecret: 'x' })
  expect(open).toThrow('must not hold a user or password')
  expect(open).not.toThrow('very-secret')
})
