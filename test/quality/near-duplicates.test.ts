import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Embedder } from '../../src/core/embedder.ts'
import type { Event } from '../../src/core/event.ts'
import { wordsOf } from '../../src/core/words.ts'
import { dedupe } from '../../src/processors/dedupe.ts'
import { novelty } from '../../src/processors/novelty.ts'
import { makeWith, openEmbedder, run } from '../processors/embedder.ts'
import { event, summary } from '../processors/support.ts'
import { groups, singles } from './near-duplicate-texts.ts'

interface Text {
  readonly text: string
  readonly group: number
}

const texts: readonly Text[] = [...groups, ...singles.map((text) => [text])].flatMap((group, index) =>
  group.map((text) => ({ text, group: index })),
)

/** The same pseudo-random numbers in every run: 0 to 1. */
function numbersFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function shuffled(seed: number): Text[] {
  const random = numbersFrom(seed)
  return texts
    .map((text) => ({ text, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ text }) => text)
}

const orders = Array.from({ length: 10 }, (_, seed) => shuffled(seed + 1))

/** For each text, by index, the index of the first one whose duplicate it was taken for. */
type Decisions = readonly (number | undefined)[]

interface Quality {
  /** Of what was dropped, the share that says what its first says. */
  readonly precision: number
  /** Of what says the same as an earlier text, the share that was dropped for it. */
  readonly recall: number
  readonly f1: number
}

async function quality(decide: (order: readonly Text[]) => Decisions | Promise<Decisions>): Promise<Quality> {
  let [dropped, right, repeated] = [0, 0, 0]
  for (const order of orders) {
    const decisions = await decide(order)
    const said = new Set<number>()
    for (const [index, { group }] of order.entries()) {
      const first = decisions[index]
      if (said.has(group)) repeated++
      if (first !== undefined) dropped++
      if (first !== undefined && order[first]?.group === group) right++
      said.add(group)
    }
  }
  const precision = right / Math.max(1, dropped)
  const recall = right / repeated
  return { precision, recall, f1: (2 * precision * recall) / Math.max(1e-9, precision + recall) }
}

/** As `dedupe` decides, by another similarity: compared with what passed, the nearest counts. */
function bySimilarity(similarity: (a: string, b: string) => number, least: number) {
  return (order: readonly Text[]): Decisions => {
    const firsts: number[] = []
    return order.map(({ text }, index) => {
      let best: { readonly first: number; readonly score: number } | undefined
      for (const first of firsts) {
        const score = similarity(text, order[first]?.text ?? '')
        if (score >= least && score > (best?.score ?? 0)) best = { first, score }
      }
      if (best === undefined) firsts.push(index)
      return best?.first
    })
  }
}

/** Words that both have, of all words that they have. */
function sharedWords(a: string, b: string): number {
  const [one, other] = [new Set(wordsOf(a)), new Set(wordsOf(b))]
  const both = [...one].filter((word) => other.has(word)).length
  return both / Math.max(1, one.size + other.size - both)
}

function atRandom(order: readonly Text[]): Decisions {
  const random = numbersFrom(order.length)
  const firsts: number[] = []
  return order.map((_, index) => {
    if (firsts.length > 0 && random() < 0.4) return firsts[Math.floor(random() * firsts.length)]
    firsts.push(index)
    return undefined
  })
}

function steps(from: number, to: number): number[] {
  return Array.from({ length: Math.round((to - from) / 0.05) + 1 }, (_, step) => from + step * 0.05)
}

async function best(thresholds: readonly number[], at: (least: number) => Promise<Quality>): Promise<Quality> {
  const all = await Promise.all(thresholds.map(at))
  return all.reduce((a, b) => (b.f1 > a.f1 ? b : a))
}

let embedder: Embedder
beforeAll(async () => {
  embedder = await openEmbedder()
})
afterAll(() => embedder.close())

function eventsOf(order: readonly Text[]): Event[] {
  return order.map(({ text }, offset) =>
    event({ text }, { id: `${offset}`, position: { topic: 't', partition: 0, offset } }),
  )
}

function byMeaning(minScore?: number) {
  return async (order: readonly Text[]): Promise<Decisions> => {
    const processor = await makeWith(embedder, dedupe, { text: 'value.text', countAs: 'more', minScore })
    return (await run(processor, eventsOf(order))).map((outcome) => {
      if (outcome === null || !('position' in outcome)) throw new Error('it has no outcome')
      const first = Number(outcome.id)
      return first === outcome.position.offset ? undefined : first
    })
  }
}

it('dedupe finds near duplicates as people and machines write them, by default and at its best', async () => {
  const words = await best(steps(0.05, 0.95), async (least) => quality(bySimilarity(sharedWords, least)))
  const exact = await quality(bySimilarity((a, b) => (a === b ? 1 : 0), 1))
  const random = await quality(atRandom)
  const usual = await quality(byMeaning())
  const most = await best(steps(0.7, 0.95), (least) => quality(byMeaning(least)))
  const all = JSON.stringify({ usual, most, words, exact, random })
  expect(usual.precision, all).toBeGreaterThan(0.95)
  expect(usual.recall, all).toBeGreaterThan(0.88)
  expect(usual.f1, all).toBeGreaterThan(Math.max(0.92, words.f1, exact.f1, random.f1))
  expect(usual.precision, all).toBeGreaterThan(words.precision + 0.03)
  expect(most.f1, all).toBeGreaterThan(words.f1 + 0.03)
})

/** How likely it is that a text of which nothing like it was there before scores higher than one that says it again. */
function separation(scores: readonly (readonly number[])[]): number {
  let [higher, pairs] = [0, 0]
  for (const [turn, order] of orders.entries()) {
    const said = new Set<number>()
    const scored = order.map(({ group }, index) => {
      const again = said.has(group)
      said.add(group)
      return { again, score: scores[turn]?.[index] ?? 0 }
    })
    for (const fresh of scored.filter(({ again }) => !again)) {
      for (const { score } of scored.filter(({ again }) => again)) {
        pairs++
        if (fresh.score > score) higher++
        else if (fresh.score === score) higher += 0.5
      }
    }
  }
  return higher / pairs
}

it('novelty tells what is said for the first time from what is said again', async () => {
  const byNovelty: number[][] = []
  for (const order of orders) {
    const processor = await makeWith(embedder, novelty, { text: 'value.text' })
    byNovelty.push(summary(await run(processor, eventsOf(order))).map((value) => Number(Object(value).novelty)))
  }
  expect(separation(byNovelty)).toBeGreaterThan(0.97)
})
