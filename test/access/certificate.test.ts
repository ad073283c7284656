import { expect, test } from 'vitest'
import { certified } from '../../src/access/certificate.ts'

const valid_to = 'Nov 24 00:00:00 2026 GMT'

test('the common name is who it is; names and departments are claims', () => {
  const subject = { CN: 'billing', O: 'Example', OU: 'payments' }
  expect(certified({ subject, subjectaltname: 'DNS:billing.internal, IP Address:10.0.0.1', valid_to })).toEqual({
    id: 'billing',
    claims: {
      sub: 'billing',
      cn: 'billing',
      o: 'Example',
      ou: 'payments',
      san: ['DNS:billing.internal', 'IP Address:10.0.0.1'],
    },
    expires: Date.parse('2026-11-24T00:00:00Z'),
  })
})

test('without a common name the first alternative name is who it is', () => {
  const given = { subject: {}, subjectaltname: 'URI:spiffe://example.org/billing, DNS:other', valid_to }
  expect(certified(given).id).toBe('spiffe://example.org/billing')
})

test('a certificate that names nobody is refused', () => {
  expect(() => certified({ subject: {}, valid_to })).toThrow(/names nobody/)
})

test('a name with a comma in it is one name, as Node writes it', () => {
  const subjectaltname = String.raw`DNS:"a.example, DNS:root.internal", DNS:b.example, URI:"x\"y"`
  const { claims } = certified({ subject: { CN: 'a' }, subjectaltname, valid_to })
  expect(claims.san).toEqual(['DNS:a.example, DNS:root.internal', 'DNS:b.example', 'URI:x"y'])
})
