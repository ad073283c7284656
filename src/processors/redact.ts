import { z } from 'zod'
import { defineProcessor, type Reference } from '../core/component.ts'
import { isJsonObject, type Json } from '../core/event.ts'
import { withValue } from './outcome.ts'
import { isCardNumber, kinds, redactText } from './secrets.ts'

/** Takes secrets and personal data out of texts. */
export const redact = defineProcessor({
  kind: 'processor',
  name: 'redact',
  summary: 'Replaces e-mail addresses, card numbers, tokens and keys in texts.',
  example: 'redact: { fields: [subject, body], kinds: [email, card, token] }',
  main: 'fields',
  options: z.strictObject({
    fields: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe('The fields of the value to look through, with everything below them. Left out: the whole value.'),
    kinds: z
      .array(z.enum(kinds))
      .min(1)
      .default(['email', 'card', 'token'])
      .describe(
        'What to replace. email: addresses. card: payment card numbers of 12 to 19 digits with a right check digit. token: ' +
          'API keys and tokens with a well-known form (AWS, GitHub, GitLab, Google, Slack, Stripe, OpenAI, npm and more), ' +
          'JSON Web Tokens, private keys, bearer and basic credentials, passwords in URLs. phone: telephone numbers in ' +
          'international form (+49 …). It does not find names, addresses, or secrets without a form of their own, and it ' +
          'looks at values only: not at field names, keys, headers or vectors.',
      ),
    with: z.string().optional().describe('What takes their place. Left out: the kind in brackets, such as [email].'),
  }),
  references: ({ fields = [] }): Reference[] =>
    fields.map((name, index) => ({ kind: 'field', path: ['fields', index], name })),
  create({ fields, kinds: wanted, with: replacement }) {
    const redactLeaf = (leaf: string | number) =>
      typeof leaf === 'string' ? redactText(leaf, wanted, replacement) : redactNumber(leaf, wanted, replacement)
    const chosen = fields === undefined ? undefined : new Set(fields)
    return {
      process: (batch) =>
        batch.map((event) => {
          const value =
            chosen === undefined ? redactAll(event.value, redactLeaf) : redactFields(event.value, chosen, redactLeaf)
          return value === event.value ? event : withValue(event, value)
        }),
    }
  },
})

type RedactLeaf = (leaf: string | number) => Json

/** A card number may have been written without quotes. */
function redactNumber(value: number, wanted: readonly string[], replacement = '[card]'): Json {
  return value >= 1e11 && wanted.includes('card') && isCardNumber(`${value}`) ? replacement : value
}

function redactFields(value: Json, fields: ReadonlySet<string>, redactLeaf: RedactLeaf): Json {
  if (!isJsonObject(value)) return value
  return changed(value, (inner, name) => (fields.has(name) ? redactAll(inner, redactLeaf) : inner))
}

/** The value itself when nothing in it had to be replaced. */
function redactAll(value: Json, redactLeaf: RedactLeaf): Json {
  if (typeof value === 'string' || typeof value === 'number') return redactLeaf(value)
  if (Array.isArray(value)) return redactList(value, redactLeaf)
  return isJsonObject(value) ? changed(value, (inner) => redactAll(inner, redactLeaf)) : value
}

function redactList(list: readonly Json[], redactLeaf: RedactLeaf): Json {
  const redacted = list.map((item) => redactAll(item, redactLeaf))
  return redacted.some((item, index) => item !== list[index]) ? redacted : list
}

function changed(value: { readonly [name: string]: Json }, change: (inner: Json, name: string) => Json): Json {
  let copy: Record<string, Json> | undefined
  for (const [name, inner] of Object.entries(value)) {
    const after = change(inner, name)
    if (after === inner) continue
    copy ??= { ...value }
    copy[name] = after
  }
  return copy ?? value
}
