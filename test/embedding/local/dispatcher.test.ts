import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Dispatcher, tokensPerBatch } from '../../../src/embedding/local/dispatcher.ts'
import type { Text } from '../../../src/embedding/local/text.ts'
import { FakeThreads } from './fake-threads.ts'
import { type Outcome, textOf } from './texts.ts'

function open(size: number) {
  const threads = new FakeThreads(size)
  const ends = new Map<Text, number>()
  const end = (text: Text) => ends.set(text, (ends.get(text) ?? 0) + 1)
  const dispatcher = new Dispatcher(threads, 1, undefined, {
    computed() {},
    vector: (text, vector) => {
      end(text)
      text.work.done(vector)
    },
    failed: (text, error) => {
      end(text)
      text.work.failed(error)
    },
    dropped: (text) => {
      end(text)
      text.work.dropped()
    },
  })
  const add = (...texts: Text[]) => {
    for (const text of texts) dispatcher.add(text)
    dispatcher.dispatch()
  }
  return { threads: threads.ready, dispatcher, ends, add }
}

const many = (count: number, tokens: number) => Array.from({ length: count }, () => textOf(tokens))
const rows = (threads: FakeThreads['ready']) => threads.map(({ all }) => all.map(({ task }) => task.lengths.length))

it('spreads a lone handful of texts over the threads that have nothing to do', () => {
  const { threads, add } = open(2)
  add(...many(8, 15))
  expect(rows(threads)).toEqual([[4], [4]])
})

it('gathers texts while the threads are busy, and keeps them fed only when plenty wait', () => {
  const { threads, dispatcher, add } = open(2)
  add(...many(8, 15))
  add(...many(20, 15))
  expect(rows(threads)).toEqual([[4], [4]])
  add(...many(100, 15))
  expect(rows(threads)).toEqual([
    [4, 25],
    [4, 25],
  ])
  threads[0]?.finish()
  dispatcher.dispatch()
  expect(rows(threads)).toEqual([
    [25, 25],
    [4, 25],
  ])
})

it('hands a query to the thread that is free first, though all have enough to do', () => {
  const { threads, dispatcher, add } = open(2)
  add(...many(400, 15))
  threads[0]?.finish()
  dispatcher.dispatch()
  add(textOf(9, 'query'))
  expect(threads.map(({ urgentJobs }) => urgentJobs)).toEqual([0, 1])
  threads[1]?.finish()
  expect(threads[1]?.running?.urgent).toBe(true)
})

it('cuts smaller bulk batches for a while after a query, since the next one waits for what runs', () => {
  const { threads, dispatcher, add } = open(1)
  add(textOf(9, 'query'), ...many(4_000, 15))
  const sizes: number[] = []
  while ((threads[0]?.jobs ?? 0) > 0) {
    sizes.push(threads[0]?.running?.task.lengths.length ?? 0)
    threads[0]?.finish()
    dispatcher.dispatch()
  }
  expect(sizes.slice(0, 67)).toEqual([1, ...new Array(64).fill(12), 25, 25])
})

it('takes a text along that has become a query', () => {
  const { threads, dispatcher, add } = open(1)
  const texts = many(400, 15)
  add(...texts)
  const last = texts.at(-1)
  if (last !== undefined) dispatcher.hurry(last)
  dispatcher.dispatch()
  threads[0]?.finish()
  expect(threads[0]?.running).toMatchObject({ urgent: true, task: { lengths: [15] } })
})

it('lets bulk work have its turn under a stream of queries', () => {
  const { threads, dispatcher, add } = open(1)
  const bulk = many(1_000, 15)
  add(...bulk)
  let queries = 0
  let runs = 0
  for (let n = 0; n < 100; n++) {
    add(textOf(9, 'query'))
    if (threads[0]?.running?.urgent) queries++
    runs++
    threads[0]?.finish()
    dispatcher.dispatch()
  }
  expect(queries).toBeGreaterThan(70)
  expect(runs - queries).toBeGreaterThan(15)
})

it('blames only what ran when a thread ended, and tries each of it once more, alone', () => {
  const { threads, dispatcher, add } = open(1)
  const outcome: Outcome = {}
  const texts = [...many(24, 15), textOf(15, 'bulk', outcome), ...many(75, 15)]
  add(...texts)
  expect(rows(threads)).toEqual([[25, 25]])
  threads[0]?.die()
  dispatcher.dispatch()
  expect(texts.map(({ failures }) => failures)).toEqual([...new Array(25).fill(1), ...new Array(75).fill(0)])
  const poison = texts[24]
  for (let n = 0; n < 100; n++) {
    const { ids, lengths } = threads[0]?.running?.task ?? { ids: [], lengths: [] }
    if (n < 25) expect(lengths).toEqual([15])
    if (n === 24) expect(ids).toEqual(poison?.ids)
    if (n === 24) threads[0]?.die()
    else threads[0]?.finish()
    dispatcher.dispatch()
  }
  expect(outcome).toMatchObject({ error: { code: 'text_not_embeddable' } })
  expect(texts.map(({ failures }) => failures)).toEqual([...new Array(24).fill(1), 2, ...new Array(75).fill(0)])
})

it('fails a text alone whose vector has no direction', () => {
  const { threads, add } = open(1)
  const outcomes: Outcome[] = [{}, {}, {}]
  // The vectors are the sums of the texts' ids.
  add(...outcomes.map((outcome, id) => textOf(15, 'bulk', outcome, id)))
  threads[0]?.finish()
  expect(outcomes).toMatchObject([
    { error: { code: 'text_not_embeddable' } },
    { vector: Float32Array.of(15) },
    { vector: Float32Array.of(30) },
  ])
})

it('ends every text once, with its own vector, within its bounds, whatever happens', () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ add: fc.array(fc.integer({ min: 1, max: 256 }), { maxLength: 60 }) }) },
    { weight: 2, arbitrary: fc.record({ query: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 2, arbitrary: fc.record({ hurry: fc.nat(500) }) },
    { weight: 8, arbitrary: fc.record({ finish: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ fail: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ die: fc.nat(2) }) },
  )
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3 }), fc.array(step, { maxLength: 60 }), (size, steps) => {
      const { threads, dispatcher, ends, add } = open(size)
      const texts: { text: Text; outcome: Outcome; sum: number }[] = []
      const make = (tokens: number, priority: 'query' | 'bulk') => {
        const outcome: Outcome = {}
        const token = texts.length + 1
        const text = textOf(tokens, priority, outcome, token)
        texts.push({ text, outcome, sum: tokens * token })
        return text
      }
      const check = () => {
        for (const thread of threads) {
          expect(thread.urgentJobs).toBeLessThanOrEqual(2)
          expect(thread.jobs - thread.urgentJobs).toBeLessThanOrEqual(2)
          for (const { task } of thread.all) {
            if (task.lengths.length > 1) {
              expect(task.lengths.length * Math.max(...task.lengths)).toBeLessThanOrEqual(tokensPerBatch)
            }
          }
        }
      }
      for (const each of steps) {
        if ('add' in each) add(...each.add.map((tokens) => make(tokens, 'bulk')))
        else if ('query' in each) add(make(each.query, 'query'))
        else if ('hurry' in each) {
          const text = texts[each.hurry]?.text
          if (text !== undefined && !ends.has(text)) dispatcher.hurry(text)
        } else if ('finish' in each) threads[each.finish % size]?.finish()
        else if ('fail' in each) threads[each.fail % size]?.fail()
        else threads[each.die % size]?.die()
        dispatcher.dispatch()
        check()
      }
      for (let left = 10_000; left > 0 && threads.some(({ jobs }) => jobs > 0); left--) {
        for (const thread of threads) thread.finish()
        dispatcher.dispatch()
        check()
      }
      for (const { text, outcome, sum } of texts) {
        expect(ends.get(text)).toBe(1)
        if (outcome.error === undefined) expect(outcome.vector).toEqual(Float32Array.of(sum))
        else expect(text.failures).toBe(2)
      }
    }),
  )
})
