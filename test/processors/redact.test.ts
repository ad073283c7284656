import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { redact } from '../../src/processors/redact.ts'
import { kinds, redactText } from '../../src/processors/secrets.ts'
import { event, process, summary } from './support.ts'

/** Secrets are put together here, so that no scanner takes this file for a leak. */
const made = (...parts: string[]) => parts.join('')
const letters = 'aB3'.repeat(20)

describe('what is found', () => {
  it.each<[string, string]>([
    ['write to bob@example.com, please', 'write to [email], please'],
    ["o'brien+tag@mail.example.co.uk.", '[email].'],
    ['<jürgen@müller.de>', '<[email]>'],
    ['https://x.com/?mail=bob@x.com&n=1', 'https://x.com/?mail=[email]&n=1'],
    ['a@b.com@c.com', '[email]@c.com'],
    ['card 4111 1111 1111 1111 12/27', 'card [card] 12/27'],
    ['4111-1111-1111-1111', '[card]'],
    ['pay 378282246310005 or 6011111111111117.', 'pay [card] or [card].'],
    ['12 4111111111111111 99', '12 [card] 99'],
    [made('key ', 'AKIA', 'ABCDEFGHIJKLMNOP'), 'key [token]'],
    [made('gh', 'p_', letters), '[token]'],
    [made('sk_', 'live_', letters), '[token]'],
    [made('use sk-', 'proj-', letters, ' now'), 'use [token] now'],
    [made('xox', 'b-123456789012-', letters), '[token]'],
    [made('jwt-', 'eyJ', 'hbGciOiJIUzI1NiJ9.', 'eyJzdWIiOiIxIn0.', letters), 'jwt-[token]'],
    [made('-----BEGIN RSA ', 'PRIVATE KEY-----\nMIIB\n-----END RSA ', 'PRIVATE KEY----- rest'), '[token] rest'],
    [made('-----BEGIN ', 'PRIVATE KEY-----\nMIIB and the text was cut'), '[token]'],
    ['Authorization: Basic dXNlcjpwYXNz', '[token]'],
    ['curl -H "Bearer abcdef0123456789xyz"', 'curl -H "[token]"'],
    ['api_key=abcdefgh12', 'api_key=[token]'],
    ['postgres://admin:hunter2@db.example.com/x', 'postgres://admin:[token]@db.example.com/x'],
    ['call +49 (0)171 234-5678 today', 'call [phone] today'],
  ])('%s', (text, expected) => {
    expect(redactText(text, kinds)).toBe(expected)
  })

  it.each([
    'a @ b, @someone, user@localhost, 3@4.5',
    'order 4111111111111112 of 1700000000000, 41111111111111111111111111',
    'a basic understanding of bearer instruments',
    'sk-short, AKIA, eyJ, the tokens are gone',
    '2024-01-01 12:00:00.000 10.0.0.1',
    'https://example.com:8080/path',
  ])('leaves %s alone', (text) => {
    expect(redactText(text, kinds)).toBe(text)
  })

  const around = fc.string({ unit: fc.constantFrom('a', ' ', '1', '.', '@', '-', ':', '/', '"', '\n', 'é') })

  it('leaves no e-mail address, whatever stands around it', () => {
    const address = fc.emailAddress({ size: 'small' }).filter((text) => /^[a-z0-9._+'-]+@/i.test(text))
    fc.assert(
      fc.property(around, address, around, (before, email, after) => {
        const result = redactText(`${before} ${email} ${after}`, ['email'])
        expect(result).not.toContain(email)
        expect(result).toContain('[email]')
      }),
      { numRuns: 300 },
    )
  })

  const card = fc
    .tuple(
      fc.constantFrom('2', '3', '4', '5', '6'),
      fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 10, maxLength: 17 }),
    )
    .map(([first, more]) => withCheckDigit(first + more))
  const separator = fc.constantFrom('', ' ', '-', '.')

  it('leaves no card number, whatever stands around it and however it is grouped', () => {
    fc.assert(
      fc.property(around, card, separator, around, (before, number, between, after) => {
        const written = number.replaceAll(/(\d{4})(?=\d)/g, `$1${between}`)
        const result = redactText(`${before}x ${written} x${after}`, ['card'])
        expect(result).not.toContain(written)
        expect(result).toContain('[card]')
      }),
      { numRuns: 1000 },
    )
  })

  it('takes time in proportion to the text, for hostile texts too', () => {
    const hostile = ['a@', 'a.', '1 ', '4', 'eyJ', 'eyJaaaaaaaaaa-', '-----BEGIN PRIVATE KEY-----', '://a:', 'bearer ']
    hostile.push(
      'sk-',
      '+1 ',
      "o'",
      '@a.',
      'api_key=',
      'authorization: basic ',
      'SG.aaaaaaaaaaaaaaaa.',
      'aaaa',
      '....@',
    )
    for (const unit of hostile) {
      const text = unit.repeat(Math.ceil(400_000 / unit.length))
      const start = performance.now()
      redactText(text, kinds)
      expect(performance.now() - start, unit).toBeLessThan(3_000)
    }
  })
})

describe('the processor', () => {
  const value = {
    from: 'a@b.com',
    list: ['4111111111111111', { deep: 'c@d.com' }],
    n: 4111111111111111,
    ok: true,
    at: 1700000000000,
  }

  it('looks through the whole value', async () => {
    expect(summary(await process(redact, {}, [event(value)]))).toEqual([
      { from: '[email]', list: ['[card]', { deep: '[email]' }], n: '[card]', ok: true, at: 1700000000000 },
    ])
    expect(summary(await process(redact, {}, [event('a@b.com')]))).toEqual(['[email]'])
  })

  it('looks through the chosen fields for the chosen kinds', async () => {
    const options = { fields: ['list', 'absent'], kinds: ['email'], with: 'XXX' }
    expect(summary(await process(redact, options, [event(value)]))).toEqual([
      { ...value, list: ['4111111111111111', { deep: 'XXX' }] },
    ])
  })

  it('hands on what has no secrets as it is, and changes nothing in place', async () => {
    const clean = event({ a: ['x', { b: 1 }] })
    const [same] = await process(redact, {}, [clean])
    expect(same).toBe(clean)
    const before = JSON.stringify(value)
    await process(redact, {}, [event(value)])
    expect(JSON.stringify(value)).toBe(before)
  })

  it('names its fields', () => {
    expect(redact.references({ fields: ['a', 'b'] })).toEqual([
      { kind: 'field', path: ['fields', 0], name: 'a' },
      { kind: 'field', path: ['fields', 1], name: 'b' },
    ])
    expect(redact.options.safeParse({ kinds: ['emial'] }).success).toBe(false)
  })
})

function withCheckDigit(digits: string): string {
  const sum = [...digits].reverse().reduce((total, character, index) => {
    const doubled = index % 2 === 0 ? Number(character) * 2 : Number(character)
    return total + (doubled > 9 ? doubled - 9 : doubled)
  }, 0)
  return `${digits}${(10 - (sum % 10)) % 10}`
}
