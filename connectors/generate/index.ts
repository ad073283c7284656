import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { defineIntake, type IntakeContext } from '../../src/core/component.ts'
import { isJsonObject, type Json, type NewRecord } from '../../src/core/event.ts'
import { randomFor } from './random.ts'
import { compile, type Make, template } from './template.ts'

const options = z.strictObject({
  value: template.describe(
    'What each event looks like. Constants stand for themselves. { sequence: true } counts; { oneOf: [a, b] } or ' +
      '{ oneOf: { a: 3, b: 1 } } chooses; { between: [1, 9] } is a number; { join: [a, b], with: " " } is one text; ' +
      '{ repeat: a, times: [1, 3] } is a list; { merge: [a, b] } is one object of several. All may be nested.',
  ),
  rate: z.number().positive().default(1).describe('Events per second.'),
  events: z.int().nonnegative().optional().describe('How many events to make in all. Left out: without end.'),
  seed: z.int().default(1).describe('Another seed makes other events; the same seed makes the same ones.'),
  key: z
    .string()
    .min(1)
    .optional()
    .describe('The field that is the key too, such as id or customer.id. Left out: events have no key.'),
})
type Options = z.infer<typeof options>

/** Makes up events. */
export const generate = defineIntake({
  kind: 'source',
  name: 'generate',
  summary: 'Makes up events from a template, at a steady rate; the same seed makes the same events.',
  example: `generate:
  rate: 5
  key: customer.id
  value:
    merge:
      - id: { sequence: 1000 }
        customer: { id: { join: ["c", { between: [1, 200] }], with: "" }, plan: { oneOf: { free: 6, team: 3, enterprise: 1 } } }
      - oneOf:
          - subject: { oneOf: ["Charged twice this month", "Invoice is missing", "Please refund my last payment"] }
            body: { oneOf: ["My card shows two payments for one order.", "I was billed after I cancelled the plan."] }
          - subject: { oneOf: ["The site is down", "Errors since this morning", "Everything is very slow"] }
            body: { oneOf: ["All pages answer with error 500.", "Our dashboards have been timing out for an hour."] }
          - subject: { oneOf: ["How do I export my data?", "Can I add a colleague?"] }
            body: { oneOf: ["I looked through the settings and cannot find it.", "Where is this described?"] }`,
  options,
  create: (given) => ({ run: (context) => run(given, context) }),
})

/** At most so many events in one append. */
const batchLimit = 2_000
/** Milliseconds between appends at least, so that a high rate makes large appends. */
const tick = 10
/** Milliseconds of events that are made up for after the log was slow; what is older is let go. */
const maxDebt = 1_000

async function run({ value, rate, events = Number.POSITIVE_INFINITY, seed, key }: Options, context: IntakeContext) {
  const { signal, state, append } = context
  const make = compile(value)
  const [remembered] = await state.get([madeKey])
  let made = typeof remembered === 'number' ? remembered : 0
  // The time at which event 0 would have been due, had the rate been kept from the beginning.
  let origin = performance.now() - (made / rate) * 1_000
  while (made < events && !signal.aborted) {
    const now = performance.now()
    origin = Math.max(origin, now - maxDebt - (made / rate) * 1_000)
    const due = Math.floor(((now - origin) / 1_000) * rate) + 1 - made
    const count = Math.min(due, batchLimit, events - made)
    if (count > 0) {
      const records = Array.from({ length: count }, (_, index) => recordOf(make, seed, made + index, key))
      await append(records, [{ key: madeKey, value: made + count }])
      made += count
    }
    const wait = origin + (made / rate) * 1_000 - performance.now()
    await sleep(Math.max(count === batchLimit ? 0 : tick, wait), undefined, { signal }).catch(() => undefined)
  }
}

const madeKey = 'made'

function recordOf(make: Make, seed: number, index: number, key: string | undefined): NewRecord {
  const value = make(randomFor(seed, index), index)
  return { key: key === undefined ? null : keyOf(value, key), value: Buffer.from(JSON.stringify(value)) }
}

function keyOf(value: Json, path: string): Uint8Array | null {
  let found: Json | undefined = value
  for (const name of path.split('.')) found = isJsonObject(found) ? found[name] : undefined
  if (found === undefined || found === null) return null
  return Buffer.from(typeof found === 'string' ? found : JSON.stringify(found))
}
