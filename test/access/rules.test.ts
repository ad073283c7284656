import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nameTest } from '../../src/access/patterns.ts'
import { ruled } from '../../src/access/rules.ts'
import type { AccessRule } from '../../src/access/settings.ts'
import { actions } from '../../src/core/principal.ts'

function fits(pattern: string, name: string, claims: Record<string, unknown> = {}): boolean {
  return nameTest(pattern, claims)?.(name) ?? false
}

function principal(rules: readonly AccessRule[], claims: Record<string, unknown> = {}) {
  return ruled({ id: 'ann', claims, expires: null }, rules)
}

describe('patterns', () => {
  test.each([
    ['tickets', 'tickets', true],
    ['tickets', 'tickets2', false],
    ['tickets', 'Tickets', false],
    ['tickets', '', false],
    ['*', 'anything', true],
    ['*', '', true],
    ['support.*', 'support.tickets', true],
    ['support.*', 'support.', true],
    ['support.*', 'support', false],
    ['support.*', 'supportx', false],
    ['*.dlq', 'support.dlq', true],
    ['*.dlq', 'support.dlq.x', false],
    ['a*b*c', 'abc', true],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'acb', false],
    ['ab*ba', 'aba', false],
    ['a**b', 'ab', true],
    ['a.c', 'abc', false],
    ['(a|b)+', 'a', false],
    ['[ab]', 'a', false],
    ['a?', 'a', false],
  ])('%s and %s: %s', (pattern, name, expected) => {
    expect(fits(pattern, name)).toBe(expected)
  })

  test('a claim is put in as it stands', () => {
    expect(fits('tenant.{tenant_id}.*', 'tenant.acme.orders', { tenant_id: 'acme' })).toBe(true)
    expect(fits('tenant.{tenant_id}.*', 'tenant.other.orders', { tenant_id: 'acme' })).toBe(false)
    expect(fits('tenant.{org.id}.*', 'tenant.7.orders', { org: { id: 7 } })).toBe(true)
    expect(fits('user:{sub}', 'user:auth0|1', { sub: 'auth0|1' })).toBe(true)
  })

  test('of a list each claim is', () => {
    const claims = { teams: ['red', 'blue'], stages: ['a', 'b'] }
    expect(['red', 'blue', 'green'].map((team) => fits('{teams}.x', `${team}.x`, claims))).toEqual([true, true, false])
    expect(fits('{teams}.{stages}', 'blue.a', claims)).toBe(true)
    expect(fits('{teams}.{stages}', 'blue.c', claims)).toBe(false)
  })

  test.each([
    undefined,
    null,
    '',
    [],
    {},
    { a: 1 },
    ['a', ''],
    ['a', null],
    ['a', ['b']],
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Array.from({ length: 101 }, String),
  ])('a claim that is %j is none', (claim) => {
    for (const pattern of ['{c}', 'x{c}', '*{c}*', '{c}*']) {
      for (const name of ['', 'x', 'a', 'undefined', 'null', 'NaN', '[object Object]', '0']) {
        expect(fits(pattern, name, { c: claim }), `${pattern} ${name}`).toBe(false)
      }
    }
  })

  test('claims of the prototype are none', () => {
    for (const claim of ['constructor', 'toString', '__proto__', 'constructor.name']) {
      expect(nameTest(`{${claim}}`, {})).toBeUndefined()
    }
  })

  test('the topics of the server itself are only meant by who writes them', () => {
    for (const pattern of ['*', '*audit', 'm*', 'millrace*', '{t}.audit', '{t}*']) {
      expect(fits(pattern, 'millrace.audit', { t: 'millrace' }), pattern).toBe(false)
    }
    expect(fits('*', '__offsets')).toBe(false)
    expect(fits('millrace.*', 'millrace.audit')).toBe(true)
    expect(fits('millrace.audit', 'millrace.audit')).toBe(true)
  })

  const text = fc.oneof(fc.string(), fc.stringMatching(/^[ab.*{}\\^$+?()[\]|]*$/))

  test('no value of a claim makes a pattern fit more than that value in its place', () => {
    fc.assert(
      fc.property(text, text, text, fc.string(), (before, after, claim, name) => {
        fc.pre(!/[{}*]/.test(before + after))
        const wanted = before + claim + after
        const isInternal = /^(?:millrace\.|__)/.test(wanted) && !/^(?:millrace\.|__)/.test(before)
        expect(fits(`${before}{c}${after}`, wanted, { c: claim })).toBe(claim !== '' && !isInternal)
        if (name !== wanted) expect(fits(`${before}{c}${after}`, name, { c: claim })).toBe(false)
      }),
    )
  })

  test('stars fit as a regular expression would have them, whatever is between them', () => {
    const part = fc.stringMatching(/^[ab.]{0,3}$/)
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), fc.stringMatching(/^[ab.]{0,12}$/), (parts, name) => {
        const expression = new RegExp(`^${parts.map((each) => each.replaceAll('.', '\\.')).join('.*')}$`)
        expect(fits(parts.join('*'), name)).toBe(expression.test(name))
      }),
    )
  })

  test('a hostile pattern and name cost no more than their lengths', () => {
    const pattern = `${'*a'.repeat(2_000)}b`
    expect(fits(pattern, 'a'.repeat(20_000))).toBe(false)
  })
})

describe('when', () => {
  const holds = (when: AccessRule['when'], claims: Record<string, unknown>) =>
    principal([{ when, subscribe: ['x'] }], claims).may('subscribe', 'x')

  test.each([
    [{ role: 'admin' }, { role: 'admin' }, true],
    [{ role: 'admin' }, { role: 'Admin' }, false],
    [{ role: 'admin' }, { role: 'guest admin' }, false],
    [{ role: 'admin' }, { role: ['guest', 'admin'] }, true],
    [{ role: 'admin' }, { role: { admin: true } }, false],
    [{ role: 'admin' }, {}, false],
    [{ scope: 'read' }, { scope: 'read write' }, true],
    [{ scope: 'read' }, { scope: 'readonly write' }, false],
    [{ scp: 'read' }, { scp: 'write read' }, true],
    [{ level: 3 }, { level: 3 }, true],
    [{ level: 3 }, { level: '3' }, false],
    [{ email_verified: true }, { email_verified: true }, true],
    [{ email_verified: true }, { email_verified: 'true' }, false],
    [{ 'realm_access.roles': 'admin' }, { realm_access: { roles: ['admin'] } }, true],
    [{ 'realm_access.roles': 'admin' }, { realm_access: { roles: ['user'] } }, false],
    [{ 'https://example.com/roles': 'admin' }, { 'https://example.com/roles': ['admin'] }, true],
    [{ role: 'admin', org: 'acme' }, { role: 'admin', org: 'acme' }, true],
    [{ role: 'admin', org: 'acme' }, { role: 'admin', org: 'other' }, false],
    [{ constructor: 'Object' }, {}, false],
  ])('%j and %j: %s', (when, claims, expected) => {
    expect(holds(when, claims)).toBe(expected)
  })

  test('left out it holds for everyone who is recognised', () => {
    expect(holds(undefined, {})).toBe(true)
  })
})

describe('rules', () => {
  test('nothing is granted but what a rule says', () => {
    for (const action of actions) expect(principal([]).may(action, 'x')).toBe(false)
    for (const granted of actions) {
      const someone = principal([{ [granted]: ['x'] }])
      for (const action of actions) expect(someone.may(action, 'x'), `${granted} ${action}`).toBe(action === granted)
    }
  })

  test('rows are told by claims, of their type; several rules add up', () => {
    const rules: AccessRule[] = [
      { subscribe: ['orders', 'shared'], rows: { tenant: 'tenant_id' } },
      { when: { role: 'support' }, subscribe: ['orders'], rows: { 'customer.vip': 'vip', team: 'team' } },
      { when: { role: 'auditor' }, subscribe: ['orders'] },
    ]
    const claims = { tenant_id: 7, team: 'red', vip: true }
    expect(principal(rules, claims).rows('subscribe', 'orders')).toEqual([{ tenant: 7 }])
    expect(principal(rules, { ...claims, role: 'support' }).rows('subscribe', 'orders')).toEqual([
      { 'customer.vip': true, team: 'red' },
      { tenant: 7 },
    ])
    expect(principal(rules, { ...claims, role: 'support' }).rows('subscribe', 'shared')).toEqual([{ tenant: 7 }])
    expect(principal(rules, { ...claims, role: 'auditor' }).rows('subscribe', 'orders')).toBeUndefined()
  })

  test('of a claim that is a list each is an alternative, always in the same order', () => {
    const rule: AccessRule = { search: ['*'], rows: { tenant: 'tenants', region: 'region' } }
    const rows = [
      { tenant: 'a', region: 'eu' },
      { tenant: 'b', region: 'eu' },
    ]
    const sorted = (tenants: string[]) => principal([rule], { tenants, region: 'eu' }).rows('search', 'x')
    expect(sorted(['a', 'b'])).toEqual(rows)
    expect(sorted(['b', 'a', 'b'])).toEqual(rows)
  })

  test('a rule with rows whose claim is missing grants nothing', () => {
    const rule: AccessRule = { search: ['*'], publish: ['*'], rows: { tenant: 'tenant_id', region: 'region' } }
    for (const claims of [{}, { tenant_id: 'a' }, { tenant_id: '', region: 'eu' }, { tenant_id: [], region: 'eu' }]) {
      expect(principal([rule], claims).may('search', 'x')).toBe(false)
    }
  })

  test('whatever the claims are, rows are never empty, and never without one of their fields', () => {
    const claim = fc.oneof(fc.jsonValue(), fc.array(fc.string(), { maxLength: 40 }))
    fc.assert(
      fc.property(claim, claim, (one, other) => {
        const someone = principal([{ search: ['x'], rows: { one: 'one', other: 'other' } }], { one, other })
        const rows = someone.rows('search', 'x')
        if (!someone.may('search', 'x')) return
        expect(rows?.length).toBeGreaterThan(0)
        for (const alternative of rows ?? []) expect(Object.keys(alternative).toSorted()).toEqual(['one', 'other'])
      }),
    )
  })
})
