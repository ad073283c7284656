import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { generate } from '../../../connectors/generate/index.ts'
import { contextFor } from '../../processors/support.ts'
import { FakeIntakeContext } from '../fake-intake-context.ts'

async function run(options: unknown, log: FakeIntakeContext, signal = new AbortController().signal): Promise<void> {
  const intake = await generate.create(options, contextFor('generate'))
  await intake.run(log.context(signal))
}

const everything = {
  rate: 100_000,
  events: 500,
  key: 'a.number',
  value: {
    a: { number: { sequence: 7 } },
    choice: { oneOf: ['x', { y: { sequence: true } }, null] },
    weighted: { oneOf: { often: 9, seldom: 1 } },
    whole: { between: [1, 3] },
    fraction: { between: [0.5, 1] },
    decimals: { between: [0, 1], decimals: 1 },
    text: { join: ['n', '', { between: [10, 99] }], with: '-' },
    list: { repeat: { between: [1, 2] }, times: [0, 2] },
    merged: { merge: [{ p: 1, q: 1 }, { oneOf: [{ q: 2 }] }] },
    fixed: [1, true, null, 'text'],
  },
}

it('makes what the template says', async () => {
  const log = new FakeIntakeContext()
  await run(everything, log)
  const events = log.events()
  expect(events).toHaveLength(500)
  expect(events.map(({ key }) => key)).toEqual(Array.from({ length: 500 }, (_, index) => `${index + 7}`))
  const shape = z.strictObject({
    a: z.strictObject({ number: z.int() }),
    choice: z.union([z.literal('x'), z.strictObject({ y: z.int() }), z.null()]),
    weighted: z.enum(['often', 'seldom']),
    whole: z.union([z.literal(1), z.literal(2), z.literal(3)]),
    fraction: z.number().min(0.5).max(1).multipleOf(0.01),
    decimals: z.number().min(0).max(1).multipleOf(0.1),
    text: z.string().regex(/^n-\d\d$/),
    list: z.array(z.number()).max(2),
    merged: z.strictObject({ p: z.literal(1), q: z.literal(2) }),
    fixed: z.tuple([z.literal(1), z.literal(true), z.null(), z.literal('text')]),
  })
  const values = events.map(({ value }) => shape.parse(value))
  const often = values.filter(({ weighted }) => weighted === 'often').length
  expect(often).toBeGreaterThan(400)
  expect(often).toBeLessThan(500)
  for (const whole of [1, 2, 3]) expect(values.filter((value) => value.whole === whole).length).toBeGreaterThan(100)
})

it('makes the same again for the same seed, and other events for another', async () => {
  const [one, two, other] = [new FakeIntakeContext(), new FakeIntakeContext(), new FakeIntakeContext()]
  await run(everything, one)
  await run(everything, two)
  await run({ ...everything, seed: 2 }, other)
  expect(one.events()).toEqual(two.events())
  expect(one.events()).not.toEqual(other.events())
})

it('goes on where it stood when it is started again, and never repeats', async () => {
  const whole = new FakeIntakeContext()
  await run(everything, whole)
  const log = new FakeIntakeContext()
  for (let life = 0; log.records.length < 500 && life < 100; life++) {
    const stop = new AbortController()
    log.beforeAppend = () => {
      if (life % 2 === 0) stop.abort()
      else if (log.appends.length % 3 === 1) throw new Error('the log is down')
    }
    await run({ ...everything, rate: 3_000 }, log, stop.signal).catch(() => undefined)
  }
  expect(log.events()).toEqual(whole.events())
})

it('keeps its rate', async () => {
  const log = new FakeIntakeContext()
  const stop = new AbortController()
  const running = run({ rate: 200, value: { n: { sequence: true } } }, log, stop.signal)
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  stop.abort()
  await running
  expect(log.records.length).toBeGreaterThan(120)
  expect(log.records.length).toBeLessThan(230)
})

it('does not make up for a log that was away for long', async () => {
  const log = new FakeIntakeContext()
  const stop = new AbortController()
  log.beforeAppend = () => (log.appends.length === 0 ? new Promise((resolve) => setTimeout(resolve, 1_500)) : undefined)
  const running = run({ rate: 1_000, value: {} }, log, stop.signal)
  await log.until(() => log.appends.length === 3)
  stop.abort()
  await running
  expect(log.records.length).toBeLessThan(1_100)
})

it('reaches high rates', async () => {
  const log = new FakeIntakeContext()
  const start = performance.now()
  await run({ rate: 100_000, events: 50_000, value: { n: { sequence: true }, s: { oneOf: ['a', 'b'] } } }, log)
  expect(performance.now() - start).toBeLessThan(5_000)
})

it('has an example that works', async () => {
  const log = new FakeIntakeContext()
  const { generate: options }: { generate: object } = parse(generate.example)
  await run({ ...options, rate: 10_000, events: 100 }, log)
  for (const { key, value } of log.events()) {
    expect(value).toMatchObject({ id: expect.any(Number), customer: { id: key }, subject: expect.any(String) })
  }
})

it('refuses templates that mean nothing', () => {
  for (const value of [{ oneOf: [] }, { between: [2, 1] }, { sequence: 'x' }, { oneOf: ['a'], extra: 1 }])
    expect(generate.options.safeParse({ value }).success, JSON.stringify(value)).toBe(false)
  expect(z.toJSONSchema(generate.options, { io: 'input' })).toMatchObject({ type: 'object' })
})
