import { readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { type AccessSettings, createAccess } from '../../src/access/index.ts'
import { errorCode } from '../../src/core/errors.ts'
import { tempFolder } from '../support/cli.ts'
import { forge, makeIssuer, pemFile, seconds, serveKeys, sign, signBySecret, signClaims } from './signing.ts'

const secret = 'a secret of 64 bytes and more, for every one of the algorithms that sign by a secret'
const tokens = { clockTolerance: 5_000 }
const rules = [{ subscribe: ['*'] }]
/** Left out, a warning says that it should be set. */
const named = { issuer: ['https://id.example'], audience: ['millrace'] }
const ofNamed = { iss: 'https://id.example', aud: 'millrace' }

async function folder(): Promise<string> {
  const made = await tempFolder()
  onTestFinished(() => made[Symbol.asyncDispose]())
  return made.path
}

async function codeOf(attempt: Promise<unknown>): Promise<string | undefined> {
  return attempt.then(
    () => 'accepted',
    (error: unknown) => errorCode(error),
  )
}

async function openFor(jwt: Partial<NonNullable<AccessSettings['jwt']>>) {
  const access = await createAccess({ jwt: { ...tokens, ...jwt }, access: rules })
  return {
    principal: (token: string) => access.authenticate({ token }),
    code: (token: string) => codeOf(access.authenticate({ token })),
  }
}

test('without settings everyone who is there may do everything', async () => {
  const access = await createAccess({})
  expect(access.required).toBe(false)
  const principal = await access.authenticate({ token: 'whatever' })
  expect(principal).toMatchObject({ id: 'local', expires: null })
  expect(principal.may('manage', 'anything')).toBe(true)
})

test('the token of the server lets its owner do everything, and no other lets anyone', async () => {
  const access = await createAccess({ token: 'a token of the server' })
  expect(access.required).toBe(true)
  const principal = await access.authenticate({ token: 'a token of the server' })
  expect(principal).toMatchObject({ id: 'token', expires: null })
  expect(principal.may('manage', 'anything')).toBe(true)
  expect(await codeOf(access.authenticate({}))).toBe('unauthenticated')
  for (const token of ['', 'a token of the serve', 'a token of the server ', 'A token of the server']) {
    expect(await codeOf(access.authenticate({ token })), token).toBe('token_invalid')
  }
})

test('the token of the server and JSON Web Tokens go together', async () => {
  const access = await createAccess({ token: 'a token of the server', jwt: { ...tokens, secret }, access: rules })
  expect((await access.authenticate({ token: 'a token of the server' })).id).toBe('token')
  const ann = await access.authenticate({ token: await signBySecret(secret) })
  expect(ann).toMatchObject({ id: 'ann', claims: { sub: 'ann' } })
  expect([ann.may('subscribe', 'x'), ann.may('publish', 'x')]).toEqual([true, false])
})

describe('signatures', () => {
  test.each(['HS256', 'HS384', 'HS512'])('%s by a secret', async (algorithm) => {
    const { principal, code } = await openFor({ secret })
    expect((await principal(await signBySecret(secret, {}, algorithm))).id).toBe('ann')
    expect(await code(await signBySecret(`${secret}!`, {}, algorithm))).toBe('token_invalid')
  })

  const all = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']
  test.each(all)('%s by a key, from a PEM file and from a set of keys', async (algorithm) => {
    const [issuer, other] = await Promise.all([makeIssuer(algorithm), makeIssuer(algorithm)])
    const path = await folder()
    const set = join(path, 'keys.json')
    await writeFile(set, JSON.stringify({ keys: [issuer.jwk] }))
    for (const way of [{ publicKey: [await pemFile(path, issuer)] }, { jwks: set }]) {
      const { principal, code } = await openFor(way)
      expect(await principal(await sign(issuer, { team: 'a' }))).toMatchObject({ id: 'ann', claims: { team: 'a' } })
      // Of the same key id, but signed by someone else.
      expect(await code(await sign(other))).toBe('token_invalid')
      const token = await sign(issuer)
      expect(await code(`${token.slice(0, -10)}${'A'.repeat(10)}`)).toBe('token_invalid')
      const [header, , signature] = token.split('.')
      const claims = Buffer.from(JSON.stringify({ sub: 'root', exp: seconds() + 60 })).toString('base64url')
      expect(await code(`${header}.${claims}.${signature}`)).toBe('token_invalid')
    }
  })

  test('several keys: each is tried, whether the token names it or not', async () => {
    const path = await folder()
    const issuers = await Promise.all(['RS256', 'ES256', 'RS256', 'EdDSA'].map((name, at) => makeIssuer(name, `${at}`)))
    const files = await Promise.all(issuers.map((issuer, at) => pemFile(path, issuer, `${at}.pem`)))
    const set = join(path, 'keys.json')
    // Keys without ids, of which several may have signed a token.
    await writeFile(set, JSON.stringify({ keys: issuers.map(({ jwk: { kid: _, ...jwk } }) => jwk) }))
    for (const way of [{ publicKey: files }, { jwks: set }]) {
      const { code } = await openFor(way)
      for (const issuer of issuers) {
        expect(await code(await sign({ ...issuer, kid: undefined }))).toBe('accepted')
        if (way.jwks === undefined) expect(await code(await sign(issuer))).toBe('accepted')
      }
      const stranger = await makeIssuer('RS256')
      expect(await code(await sign({ ...stranger, kid: undefined }))).toBe('token_invalid')
    }
  })

  test('a certificate is as good as its public key, and a private key is refused', async () => {
    const path = await folder()
    const { generateKeyPairSync } = await import('node:crypto')
    const { privateKey } = generateKeyPairSync('ed25519')
    const file = join(path, 'private.pem')
    await writeFile(file, privateKey.export({ type: 'pkcs8', format: 'pem' }))
    await expect(openFor({ publicKey: [file] })).rejects.toMatchObject({
      code: 'key_unusable',
      message: expect.stringContaining('private key'),
    })
  })
})

describe('forged tokens', () => {
  test('a public key is no secret: HS256 signed with the PEM, or with the JWK, is not looked at', async () => {
    const issuer = await makeIssuer('RS256')
    const path = await folder()
    const set = join(path, 'keys.json')
    await writeFile(set, JSON.stringify({ keys: [issuer.jwk, { kty: 'oct', k: 'c2VjcmV0', kid: 'secret' }] }))
    for (const way of [{ publicKey: [await pemFile(path, issuer)] }, { jwks: set }]) {
      const { code } = await openFor(way)
      for (const key of [issuer.publicKey, issuer.publicKey.trim(), JSON.stringify(issuer.jwk), 'secret']) {
        expect(await code(await signBySecret(key))).toBe('token_untrusted')
      }
    }
  })

  test.each(['none', 'None', 'NONE', '', 'HS256', 'ES256K', 'RSA1_5', 'toString', '__proto__'])(
    'alg %j without a signature is refused',
    async (alg) => {
      const issuer = await makeIssuer('ES256')
      const { code } = await openFor({ publicKey: [await pemFile(await folder(), issuer)] })
      const claims = { sub: 'ann', exp: seconds() + 60 }
      expect(await code(forge({ alg }, claims))).toBe('token_untrusted')
      const signed = (await sign(issuer)).split('.').at(-1)
      expect(await code(forge({ alg }, claims, signed))).toBe('token_untrusted')
    },
  )

  test('a key that the token brings along is not used', async () => {
    const [issuer, forger] = await Promise.all([makeIssuer('ES256'), makeIssuer('ES256')])
    const { code } = await openFor({ publicKey: [await pemFile(await folder(), issuer)] })
    const { SignJWT } = await import('jose')
    const token = await new SignJWT({ sub: 'ann', exp: seconds() + 60 })
      .setProtectedHeader({ alg: 'ES256', jwk: forger.jwk, jku: 'http://127.0.0.1:1/keys' })
      .sign(forger.privateKey)
    expect(await code(token)).toBe('token_invalid')
  })

  test.each([
    ['nothing', ''],
    ['words', 'not a token'],
    ['two parts', 'a.b'],
    ['four parts', 'a.b.c.d'],
    ['an encrypted one', 'a.b.c.d.e'],
    ['empty parts', '..'],
    ['a header that is no JSON', 'YQ.YQ.YQ'],
    ['a header that is a list', `${Buffer.from('[]').toString('base64url')}.e30.`],
    ['too much', `${'a'.repeat(9_000)}.${'b'.repeat(9_000)}.c`],
  ])('%s is refused', async (_, token) => {
    const { code } = await openFor({ secret })
    expect(await code(token)).toMatch(/^token_(?:invalid|untrusted)$/)
  })

  test('an algorithm that the settings do not name is refused, though the key could be used', async () => {
    const { code } = await openFor({ secret, algorithms: ['HS512'] })
    expect(await code(await signBySecret(secret))).toBe('token_untrusted')
    expect(await code(await signBySecret(secret, {}, 'HS512'))).toBe('accepted')
  })

  test('what is refused is said without the claims, and without the token', async () => {
    const access = await createAccess({ jwt: { ...tokens, secret, audience: ['millrace'] }, access: rules })
    const token = await signBySecret(secret, { aud: 'other', email: 'ann@example.com', exp: seconds() - 100 })
    const error: unknown = await access.authenticate({ token }).catch((refused: unknown) => refused)
    const { inspect } = await import('node:util')
    expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/ann@example|eyJ/)
  })
})

describe('claims', () => {
  test('the token expires, within the tolerance of clocks; the principal says when', async () => {
    const { principal, code } = await openFor({ secret })
    const exp = seconds() + 60
    expect((await principal(await signBySecret(secret, { exp }))).expires).toBe(exp * 1_000)
    expect(await code(await signBySecret(secret, { exp: seconds() - 2 }))).toBe('accepted')
    expect(await code(await signBySecret(secret, { exp: seconds() - 60 }))).toBe('token_expired')
  })

  test.each([
    ['no exp', { exp: undefined }, 'token_invalid'],
    ['no sub', { sub: undefined }, 'token_invalid'],
    ['an empty sub', { sub: '' }, 'token_invalid'],
    ['not valid yet', { nbf: seconds() + 600 }, 'token_invalid'],
    ['another issuer', { iss: 'https://evil.example' }, 'token_untrusted'],
    ['no issuer', { iss: undefined }, 'token_untrusted'],
    ['another audience', { aud: 'other' }, 'token_untrusted'],
    ['other audiences', { aud: ['other', 'more'] }, 'token_untrusted'],
    ['no audience', { aud: undefined }, 'token_untrusted'],
    ['one of several audiences', { aud: ['other', 'millrace'] }, 'accepted'],
    ['the second issuer', { iss: 'https://two.example' }, 'accepted'],
  ])('%s: %j is %s', async (_, claims, expected) => {
    const { code } = await openFor({
      secret,
      issuer: ['https://id.example', 'https://two.example'],
      audience: ['millrace'],
    })
    const given = { sub: 'ann', exp: seconds() + 60, iss: 'https://id.example', aud: 'millrace', ...claims }
    expect(await code(await signClaims(secret, JSON.parse(JSON.stringify(given))))).toBe(expected)
  })
})

describe('secrets', () => {
  test('are long enough for the algorithm', async () => {
    const { code } = await openFor({ secret: 'x'.repeat(48) })
    expect(await code(await signBySecret('x'.repeat(48), {}, 'HS384'))).toBe('accepted')
    expect(await code(await signBySecret('x'.repeat(48), {}, 'HS512'))).toBe('token_untrusted')
    await expect(openFor({ secret: 'x'.repeat(31) })).rejects.toMatchObject({ code: 'secret_too_short' })
    await expect(openFor({ secret: 'x'.repeat(63), algorithms: ['HS256', 'HS512'] })).rejects.toMatchObject({
      code: 'secret_too_short',
      message: expect.stringContaining('HS512 needs 64'),
    })
  })
})

describe('files of keys', () => {
  test.each([
    ['publicKey', 'nothing.pem', undefined],
    ['publicKey', 'words.pem', 'no key'],
    ['jwks', 'nothing.json', undefined],
    ['jwks', 'words.json', '{"keys": 1}'],
  ])('that cannot be used stop the start: %s %s', async (way, name, text) => {
    const file = join(await folder(), name)
    if (text !== undefined) await writeFile(file, text)
    const jwt = way === 'jwks' ? { jwks: file } : { publicKey: [file] }
    await expect(openFor(jwt)).rejects.toMatchObject({ code: 'key_unusable', message: expect.stringContaining(name) })
  })

  test('are read again when they change; what cannot be used changes nothing', async () => {
    const [before, after] = await Promise.all([makeIssuer('ES256', 'a'), makeIssuer('ES256', 'b')])
    const file = await pemFile(await folder(), before)
    const warned: string[] = []
    const access = await createAccess(
      { jwt: { ...tokens, ...named, publicKey: [file] }, access: rules },
      { warn: (message) => warned.push(message) },
    )
    const accepts = async (token: string) => (await codeOf(access.authenticate({ token }))) === 'accepted'
    const [old, young] = await Promise.all([sign(before, ofNamed), sign(after, ofNamed)])
    expect([await accepts(old), await accepts(young)]).toEqual([true, false])
    const good = await readFile(file)
    await writeFile(file, 'no key')
    await expect.poll(async () => [warned.length > 0, await accepts(old)], { timeout: 5_000 }).toEqual([true, true])
    await writeFile(file, after.publicKey)
    await utimes(file, new Date(), new Date(Date.now() + 1_000))
    await expect.poll(() => accepts(young), { timeout: 5_000 }).toBe(true)
    expect(await accepts(old)).toBe(false)
    expect(good.length).toBeGreaterThan(0)
  })
})

describe('keys at an address', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'] })
  })
  afterEach(() => {
    vi.useRealTimers()
  })
  const later = (milliseconds: number) => vi.setSystemTime(Date.now() + milliseconds)

  test('a key of the set that cannot be used is none, and keeps nobody out', async () => {
    const good = await makeIssuer('ES256', 'good')
    const broken = { ...good.jwk, kid: 'broken', x: 'AA', y: 'AA' }
    await using server = await serveKeys([good.jwk, broken])
    const { code } = await openFor({ jwks: server.url })
    expect(await code(await sign({ ...good, kid: 'broken' }))).toBe('token_untrusted')
    expect(await code(await sign(good))).toBe('accepted')
    const file = join(await folder(), 'keys.json')
    await writeFile(file, JSON.stringify({ keys: [good.jwk, broken] }))
    const local = await openFor({ jwks: file })
    expect(await local.code(await sign({ ...good, kid: 'broken' }))).toBe('token_untrusted')
  })

  test('are fetched once, and again for a key that is not known, but not for every one', async () => {
    const [before, after, forger] = await Promise.all(['a', 'b', 'c'].map((kid) => makeIssuer('ES256', kid)))
    if (!before || !after || !forger) throw new Error('no issuers')
    await using server = await serveKeys([before.jwk])
    const { code } = await openFor({ jwks: server.url })
    const old = await sign(before)
    await Promise.all(Array.from({ length: 20 }, async () => expect(await code(old)).toBe('accepted')))
    expect(server.requests).toBe(1)

    server.keys = [before.jwk, after.jwk]
    const young = await sign(after)
    expect(await code(young)).toBe('token_untrusted')
    later(11_000)
    expect(await code(young)).toBe('accepted')
    expect(server.requests).toBe(2)
    for (let time = 0; time < 20; time++) expect(await code(await sign(forger))).toBe('token_untrusted')
    expect(server.requests).toBe(2)
  })

  test('that were withdrawn are trusted no longer than ten minutes', async () => {
    const issuer = await makeIssuer('ES256')
    await using server = await serveKeys([issuer.jwk])
    const { code } = await openFor({ jwks: server.url })
    expect(await code(await sign(issuer))).toBe('accepted')
    server.keys = []
    later(9 * 60_000)
    expect(await code(await sign(issuer))).toBe('accepted')
    later(2 * 60_000)
    expect(await code(await sign(issuer))).toBe('token_untrusted')
  })

  test('are kept while the server is down, for an hour; before the first ones callers are told to come back', async () => {
    const issuer = await makeIssuer('ES256')
    await using server = await serveKeys([issuer.jwk])
    server.status = 503
    const warned: string[] = []
    const access = await createAccess(
      { jwt: { ...tokens, ...named, jwks: server.url }, access: rules },
      { warn: (message) => warned.push(message) },
    )
    const code = async () => codeOf(access.authenticate({ token: await sign(issuer, ofNamed) }))
    await expect(access.authenticate({ token: await sign(issuer, ofNamed) })).rejects.toMatchObject({
      name: 'Retryable',
      code: 'keys_unreachable',
    })
    // A server that is down is left alone for a moment, however many tokens come.
    const { requests } = server
    for (let time = 0; time < 10; time++) expect(await code()).toBe('keys_unreachable')
    expect(server.requests).toBe(requests)
    expect(warned).toHaveLength(1)

    server.status = 200
    later(6_000)
    expect(await code()).toBe('accepted')
    server.status = 500
    later(11 * 60_000)
    expect(await code()).toBe('accepted')
    expect(warned).toHaveLength(2)
    later(60 * 60_000)
    expect(await code()).toBe('keys_unreachable')
    server.status = 200
    later(6_000)
    expect(await code()).toBe('accepted')
  })

  test('that cannot be told while the server is down are neither good nor bad', async () => {
    const [known, unknown] = await Promise.all([makeIssuer('ES256', 'a'), makeIssuer('ES256', 'b')])
    await using server = await serveKeys([known.jwk])
    const { code } = await openFor({ jwks: server.url })
    expect(await code(await sign(known))).toBe('accepted')
    server.status = 500
    later(11_000)
    expect(await code(await sign(unknown))).toBe('keys_unreachable')
    expect(await code(await sign(known))).toBe('accepted')
  })
})

test('a warning says that keys may sign for others too', async () => {
  const issuer = await makeIssuer('ES256')
  const publicKey = [await pemFile(await folder(), issuer)]
  const warned: string[] = []
  const warn = (message: string) => warned.push(message)
  await createAccess({ jwt: { ...tokens, publicKey }, access: rules }, { warn })
  expect(warned).toEqual([expect.stringContaining('audience'), expect.stringContaining('issuer')])
  await createAccess({ jwt: { ...tokens, ...named, publicKey }, access: rules }, { warn })
  expect(warned).toHaveLength(2)
})
