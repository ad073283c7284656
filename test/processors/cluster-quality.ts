/** Which topic each text has and into which cluster it was put, by index. */
export interface Partitions {
  readonly topics: readonly string[]
  readonly clusters: readonly string[]
}

/** Harmonic mean of homogeneity and completeness, 0 to 1 (Rosenberg and Hirschberg, 2007). */
export function vMeasure({ topics, clusters }: Partitions): number {
  const pairs = topics.map((topic, index) => `${topic}\n${clusters[index]}`)
  const [ofTopics, ofClusters, ofBoth] = [entropy(topics), entropy(clusters), entropy(pairs)]
  const homogeneity = ofTopics === 0 ? 1 : 1 - (ofBoth - ofClusters) / ofTopics
  const completeness = ofClusters === 0 ? 1 : 1 - (ofBoth - ofTopics) / ofClusters
  return homogeneity + completeness === 0 ? 0 : (2 * homogeneity * completeness) / (homogeneity + completeness)
}

/** How much more often pairs agree than by chance: 0 by chance, 1 for the same groups (Hubert and Arabie, 1985). */
export function adjustedRandIndex({ topics, clusters }: Partitions): number {
  const pairs = topics.map((topic, index) => `${topic}\n${clusters[index]}`)
  const [both, ofTopics, ofClusters] = [pairsWithin(pairs), pairsWithin(topics), pairsWithin(clusters)]
  const all = (topics.length * (topics.length - 1)) / 2
  const byChance = (ofTopics * ofClusters) / all
  return (both - byChance) / ((ofTopics + ofClusters) / 2 - byChance)
}

function entropy(labels: readonly string[]): number {
  let sum = 0
  for (const count of counts(labels)) sum -= (count / labels.length) * Math.log(count / labels.length)
  return sum
}

function pairsWithin(labels: readonly string[]): number {
  return counts(labels).reduce((sum, count) => sum + (count * (count - 1)) / 2, 0)
}

function counts(labels: readonly string[]): number[] {
  const found = new Map<string, number>()
  for (const label of labels) found.set(label, (found.get(label) ?? 0) + 1)
  return [...found.values()]
}
