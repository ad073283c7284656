import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import type { CachingEmbedder } from '../../src/embedding/embedder.ts'
import { cluster } from '../../src/processors/cluster.ts'
import { Clusters } from '../../src/processors/cluster-memory.ts'
import { tellingWords } from '../../src/processors/cluster-words.ts'
import { adjustedRandIndex, vMeasure } from './cluster-quality.ts'
import { randomFrom, shuffledTexts } from './cluster-texts.ts'
import { makeWith, openEmbedder, run } from './embedder.ts'
import { CommittedState, event, events, summary } from './support.ts'

/** The order decides what founds a cluster, so several are tried. */
const orders = [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => shuffledTexts(seed))
const topicCount = 6

let embedder: CachingEmbedder
beforeAll(async () => {
  embedder = await openEmbedder()
})
afterAll(() => embedder.close())

type Order = (typeof orders)[number]
type Clustering = (order: Order, index: number) => Promise<readonly string[]> | readonly string[]

const member = z.object({ topic: z.string(), cluster: z.string(), name: z.string() })
type Member = z.infer<typeof member>

async function members(order: Order): Promise<Member[]> {
  const processor = await makeWith(embedder, cluster, { text: 'value.text', nameAs: 'name' })
  return z.array(member).parse(summary(await run(processor, events(...order))))
}

const byMeaning: Clustering = async (order) => (await members(order)).map((one) => one.cluster)

const byChance: Clustering = (order, index) => {
  const random = randomFrom(1_000 + index)
  return order.map(() => String(Math.floor(random() * topicCount)))
}

/** The same algorithm, with the words that a text has in place of its embedding. */
function byWords(minScore: number): Clustering {
  return async (order) => {
    const vocabulary = [...new Set(order.flatMap(({ text }) => tellingWords(text)))]
    const space = { fingerprint: 'words', dimension: vocabulary.length }
    const clusters = await Clusters.load(new CommittedState(), space, { minScore, most: 200 })
    return order.map(({ text }, offset) => {
      const words = tellingWords(text)
      const vector = Float32Array.from(vocabulary, (word) => (words.includes(word) ? 1 / Math.sqrt(words.length) : 0))
      const at = event({}, { position: { topic: 't', partition: 0, offset } })
      return clusters.assign(at, vector, undefined, []).cluster.id
    })
  }
}

/** Means over all orders. */
async function quality(clustering: Clustering) {
  const measures = await Promise.all(
    orders.map(async (order, index) => {
      const partitions = { topics: order.map(({ topic }) => topic), clusters: await clustering(order, index) }
      return { vMeasure: vMeasure(partitions), randIndex: adjustedRandIndex(partitions) }
    }),
  )
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  return { vMeasure: mean(measures.map((one) => one.vMeasure)), randIndex: mean(measures.map((one) => one.randIndex)) }
}

it('finds the topics of texts, far better than by their words or by chance', async () => {
  const found = await quality(byMeaning)
  const chance = await quality(byChance)
  const words = await Promise.all([0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4].map((minScore) => quality(byWords(minScore))))
  const best = (measure: 'vMeasure' | 'randIndex') => Math.max(...words.map((one) => one[measure]))
  expect(found.vMeasure).toBeGreaterThan(0.8)
  expect(found.randIndex).toBeGreaterThan(0.7)
  expect(found.vMeasure).toBeGreaterThan(best('vMeasure') + 0.15)
  expect(found.randIndex).toBeGreaterThan(best('randIndex') + 0.3)
  expect(found.vMeasure).toBeGreaterThan(chance.vMeasure + 0.5)
  expect(Math.abs(chance.randIndex)).toBeLessThan(0.05)
})

/** What anyone would look for in a name. */
const typical: Readonly<Record<string, readonly string[]>> = {
  delivery: ['parcel', 'order', 'delivered', 'delivery', 'tracking', 'package', 'driver', 'shipping'],
  billing: ['invoice', 'refund', 'payment', 'amount', 'card', 'charged', 'bank', 'pay'],
  login: ['password', 'account', 'sign', 'log', 'login', 'code', 'codes', 'reset'],
  crash: ['app', 'crashes', 'freezes', 'screen', 'update'],
  fit: ['size', 'tight', 'shoes', 'jacket', 'trousers', 'boots', 'smaller', 'dress', 'fits', 'short'],
  newsletter: ['newsletter', 'mails', 'mailing', 'unsubscribe', 'spam', 'advertising', 'subscribe'],
}

/** The topic that most of them have. */
function mainTopic(ofCluster: readonly Member[]): string {
  const counts = new Map<string, number>()
  for (const { topic } of ofCluster) counts.set(topic, (counts.get(topic) ?? 0) + 1)
  return [...counts].sort(([, one], [, other]) => other - one)[0]?.[0] ?? ''
}

it('names clusters by words that are typical of their topic', async () => {
  const counts: number[] = []
  for (const order of orders) {
    const clusters = new Map<string, Member[]>()
    for (const one of await members(order)) clusters.set(one.cluster, [...(clusters.get(one.cluster) ?? []), one])
    for (const ofCluster of [...clusters.values()].filter(({ length }) => length >= 3)) {
      const words = ofCluster.at(-1)?.name.split(', ') ?? []
      counts.push(words.filter((word) => typical[mainTopic(ofCluster)]?.includes(word)).length)
    }
  }
  const share = (least: number) => counts.filter((count) => count >= least).length / counts.length
  expect(counts.length).toBeGreaterThan(40)
  expect(share(1)).toBeGreaterThan(0.9)
  expect(share(2)).toBeGreaterThan(0.65)
})
