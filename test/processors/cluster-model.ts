import { dot } from '../../src/similarity/vector-matrix.ts'

interface Cluster {
  readonly id: string
  centroid: Float32Array
  words: { readonly word: string; readonly count: number }[]
  size: number
  met: number
}

export interface Arrival {
  readonly offset: number
  readonly vector: Float32Array
  readonly words: readonly string[]
}

/** What `cluster` shall decide, one event at a time, with everything computed anew for each. */
export class ClusterModel {
  readonly #bounds: { readonly minScore: number; readonly most: number }
  #clusters: Cluster[] = []
  readonly #founders: number[] = []
  #events = 0

  constructor(bounds: { readonly minScore: number; readonly most: number }) {
    this.#bounds = bounds
  }

  take({ offset, vector, words }: Arrival) {
    const near = this.#clusters
      .map((cluster) => ({ cluster, score: dot(cluster.centroid, vector) }))
      .filter(({ score }) => score >= this.#bounds.minScore)
      .sort((one, other) => other.score - one.score)[0]
    const cluster = near?.cluster ?? this.#found(offset, vector)
    if (near !== undefined) cluster.centroid = moved(cluster.centroid, vector, Math.min(cluster.size, 64))
    cluster.size++
    cluster.met = ++this.#events
    this.#count(cluster, words)
    return { id: cluster.id, size: cluster.size, score: near?.score ?? 1, name: this.#name(cluster) }
  }

  #found(offset: number, vector: Float32Array): Cluster {
    if (this.#clusters.length >= this.#bounds.most) {
      const byAge = this.#clusters.toSorted((one, other) => one.met - other.met)
      const old = byAge.slice(0, Math.ceil(byAge.length / 2)).toSorted((one, other) => one.size - other.size)
      this.#clusters = this.#clusters.filter((cluster) => cluster !== old[0])
    }
    const before = this.#founders.filter((founder) => founder === offset).length
    this.#founders.push(offset)
    const id = `t/0/${offset}${before === 0 ? '' : `#${before}`}`
    const cluster = { id, centroid: vector, words: [], size: 0, met: 0 }
    this.#clusters.push(cluster)
    return cluster
  }

  #count(cluster: Cluster, words: readonly string[]): void {
    const again = words.map((word) => {
      return { word, count: (cluster.words.find((known) => known.word === word)?.count ?? 0) + 1 }
    })
    const all = [...cluster.words.filter(({ word }) => !words.includes(word)), ...again]
    const kept = new Set(
      all
        .map((entry, index) => ({ entry, index }))
        .sort((one, other) => {
          return other.entry.count - one.entry.count || other.index - one.index
        })
        .slice(0, 64)
        .map(({ entry }) => entry),
    )
    cluster.words = all.filter((entry) => kept.has(entry))
    if (cluster.size % 64 !== 0) return
    cluster.words = cluster.words
      .map(({ word, count }) => ({ word, count: Math.floor(count / 2) }))
      .filter(({ count }) => count > 0)
  }

  #name(cluster: Cluster): string {
    const everywhere = this.#clusters.flatMap(({ words }) => words)
    const average = everywhere.reduce((sum, { count }) => sum + count, 0) / this.#clusters.length
    const weight = ({ word, count }: Cluster['words'][number]) => {
      const total = everywhere.reduce((sum, other) => sum + (other.word === word ? other.count : 0), 0)
      return count * Math.log(1 + average / total)
    }
    const name: string[] = []
    for (const { word } of cluster.words.toSorted((one, other) => weight(other) - weight(one))) {
      const isForm = (other: string) =>
        Math.min(word.length, other.length) >= 4 && (word.startsWith(other) || other.startsWith(word))
      if (name.length < 3 && !name.some(isForm)) name.push(word)
    }
    return name.join(', ')
  }
}

function moved(centroid: Float32Array, vector: Float32Array, weight: number): Float32Array {
  const sum = centroid.map((value, index) => value + (1 / weight) * (vector[index] ?? 0))
  const length = Math.sqrt(dot(sum, sum))
  return sum.map((value) => value / length)
}
