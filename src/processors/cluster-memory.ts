import { type Event, positionId } from '../core/event.ts'
import type { LaneState } from '../core/state.ts'
import { dot, VectorMatrix } from '../similarity/vector-matrix.ts'
import { type Cluster, deleteCluster, readClusters, type StateHead, writeCluster, writeHead } from './cluster-state.ts'
import { Vocabulary } from './cluster-words.ts'

export interface ClusterBounds {
  /** The least cosine similarity with which an event joins. */
  readonly minScore: number
  /** Clusters at a time. */
  readonly most: number
}

/** The vectors of one model. */
export interface Space {
  readonly fingerprint: string
  readonly dimension: number
}

export interface Assignment {
  readonly cluster: Cluster
  /** Cosine similarity to the centroid as the event found it; 1 for the one that founds a cluster. */
  readonly score: number
}

/** A cluster, and what its comparisons need. */
interface Compared extends Cluster {
  /** In the matrix. */
  readonly row: number
  /** How far the centroid has moved since the batch was compared; infinite if it was not there yet. */
  drift: number
}

/** So many events shape a centroid and a name: what came before fades, and a cluster can follow its subject. */
const horizon = 64
/** More than the scores of the matrix, which sums in an order of its own, can differ from those of `dot`. */
const rounding = 1e-3

/**
 * The clusters of one lane, after the leader algorithm (Hartigan, "Clustering Algorithms", 1975) with the centroids of
 * online spherical k-means (Zhong, "Efficient online spherical k-means clustering", 2005). An event joins the nearest
 * centroid if that is near enough; otherwise it founds a cluster. The n-th event of a cluster moves its centroid c to the
 * direction of c + v / min(n - 1, 64), which is about the mean of all vectors v, and later of the newest.
 *
 * Every change is written to the state at the offset of its event, and depends on the state and that event alone. What
 * counts for a decision is therefore computed the same in whatever batches: the matrix says only which centroids
 * could be the nearest.
 */
export class Clusters {
  readonly vocabulary = new Vocabulary()
  readonly #state: LaneState
  readonly #space: Space
  readonly #bounds: ClusterBounds
  readonly #matrix: VectorMatrix
  readonly #clusters = new Set<Compared>()
  /** Below the head's `slots`. */
  readonly #freeSlots = new Set<number>()
  #head: StateHead
  /** Events so far. What a lane has met last is never forgotten, so the number of it is known after a restart. */
  #events = 0

  private constructor(state: LaneState, space: Space, bounds: ClusterBounds) {
    this.#state = state
    this.#space = space
    this.#bounds = bounds
    this.#matrix = new VectorMatrix(space.dimension)
    this.#head = { model: space.fingerprint, slots: 0, founder: [-1, 0] }
  }

  static async load(state: LaneState, space: Space, bounds: ClusterBounds): Promise<Clusters> {
    const loaded = new Clusters(state, space, bounds)
    const { head, clusters } = await readClusters(state, space.dimension)
    if (head === undefined) return loaded
    loaded.#head = head
    // Vectors of another model cannot be compared with those: the first event begins anew.
    if (head.model !== space.fingerprint) return loaded
    for (let slot = 0; slot < head.slots; slot++) loaded.#freeSlots.add(slot)
    for (const cluster of clusters) loaded.#take(cluster, 0)
    return loaded
  }

  get size(): number {
    return this.#clusters.size
  }

  /** Compares a batch with the centroids as they are. The assignments of the batch follow, before the next one. */
  compare(vectors: readonly Float32Array[]): Promise<Float32Array[]> {
    for (const cluster of this.#clusters) cluster.drift = 0
    return this.#matrix.scores(vectors)
  }

  /** To be called in order. `scores` are those of the event's vector from `compare`. */
  assign(event: Event, vector: Float32Array, scores: Float32Array | undefined, words: readonly string[]): Assignment {
    const { offset } = event.position
    const nearest = this.#nearest(vector, scores)
    const cluster = nearest?.cluster ?? this.#found(event, vector)
    if (nearest !== undefined) this.#move(nearest.cluster, vector)
    cluster.size++
    cluster.met = ++this.#events
    this.vocabulary.count(cluster.words, words)
    if (cluster.size % horizon === 0) this.vocabulary.fade(cluster.words)
    writeCluster(this.#state, cluster, offset)
    return { cluster, score: nearest?.score ?? 1 }
  }

  /** Of equally near ones the one in the lowest slot. */
  #nearest(
    vector: Float32Array,
    scores: Float32Array | undefined,
  ): { readonly cluster: Compared; readonly score: number } | undefined {
    let best: { readonly cluster: Compared; readonly score: number } | undefined
    let least = this.#bounds.minScore
    for (const cluster of this.#clusters) {
      // A centroid that has moved by d is at most by d nearer to anything.
      const atMost = (scores?.[cluster.row] ?? 1) + cluster.drift + rounding
      if (atMost < least) continue
      const score = dot(cluster.centroid, vector)
      if (score < least || (score === best?.score && cluster.slot > best.cluster.slot)) continue
      best = { cluster, score }
      least = score
    }
    return best
  }

  #move(cluster: Compared, vector: Float32Array): void {
    const { centroid } = cluster
    const before = centroid.slice()
    const rate = 1 / Math.min(cluster.size, horizon)
    for (let index = 0; index < centroid.length; index++) {
      centroid[index] = (centroid[index] ?? 0) + rate * (vector[index] ?? 0)
    }
    const length = Math.sqrt(dot(centroid, centroid))
    let moved = 0
    for (let index = 0; index < centroid.length; index++) {
      const value = (centroid[index] ?? 0) / length
      centroid[index] = value
      moved += (value - (before[index] ?? 0)) ** 2
    }
    cluster.drift += Math.sqrt(moved)
    this.#matrix.set(cluster.row, centroid)
  }

  #found({ position }: Event, vector: Float32Array): Compared {
    const { offset } = position
    if (this.#head.model !== this.#space.fingerprint) this.#discardSlots(offset)
    while (this.#clusters.size >= this.#bounds.most) this.#forget(this.#leastNeeded(), offset)
    const [last, clusters] = this.#head.founder
    const before = last === offset ? clusters : 0
    const slot = Math.min(this.#head.slots, ...this.#freeSlots)
    const slots = Math.max(this.#head.slots, slot + 1)
    this.#head = { model: this.#space.fingerprint, slots, founder: [offset, before + 1] }
    writeHead(this.#state, this.#head, offset)
    const id = before === 0 ? positionId(position) : `${positionId(position)}#${before}`
    const centroid = Float32Array.from(vector)
    return this.#take({ id, slot, centroid, words: new Map(), size: 0, met: 0 }, Number.POSITIVE_INFINITY)
  }

  #take(cluster: Cluster, drift: number): Compared {
    const compared = { ...cluster, row: this.#matrix.add(cluster.centroid), drift }
    this.#clusters.add(compared)
    this.#freeSlots.delete(cluster.slot)
    this.#events = Math.max(this.#events, cluster.met)
    this.vocabulary.add(cluster.words)
    return compared
  }

  /**
   * Of the half that has not been met for longest, the smallest. So a subject that is only forming is safe because it is new,
   * and one that comes now and then because it is large.
   */
  #leastNeeded(): Compared {
    const all = [...this.#clusters].sort((one, other) => one.met - other.met)
    return all.slice(0, Math.ceil(all.length / 2)).reduce((least, each) => (each.size < least.size ? each : least))
  }

  #forget(cluster: Compared, offset: number): void {
    this.#clusters.delete(cluster)
    this.#matrix.remove(cluster.row)
    this.vocabulary.remove(cluster.words)
    this.#freeSlots.add(cluster.slot)
    deleteCluster(this.#state, cluster.slot, offset)
  }

  /** What the clusters of another model left. */
  #discardSlots(offset: number): void {
    for (let slot = 0; slot < this.#head.slots; slot++) {
      deleteCluster(this.#state, slot, offset)
      this.#freeSlots.add(slot)
    }
  }
}
