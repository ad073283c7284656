import { setTimeout as sleep } from 'node:timers/promises'
import type { TopicInfo } from '../core/event-log.ts'

interface Sample {
  readonly at: number
  readonly ends: ReadonlyMap<string, number>
}

const shortestMs = 250
const longestMs = 15_000

/** Events per second of each topic, from what was seen at earlier calls: nothing is watched while nobody asks. */
export class TopicRates {
  readonly #read: () => Promise<readonly TopicInfo[]>
  #samples: Sample[] = []

  constructor(read: () => Promise<readonly TopicInfo[]>) {
    this.#read = read
  }

  /** The first call in a while takes a quarter of a second, for a rate needs two looks. */
  async sample(): Promise<readonly { readonly info: TopicInfo; readonly rate: number }[]> {
    let topics = await this.#take()
    const oldest = this.#samples[0]
    if (!oldest || performance.now() - oldest.at < shortestMs) {
      await sleep(shortestMs)
      topics = await this.#take()
    }
    const first = this.#samples[0]
    const seconds = (performance.now() - (first?.at ?? 0)) / 1000
    return topics.map((info) => {
      const before = first?.ends.get(info.name)
      return { info, rate: before === undefined ? 0 : Math.round(((end(info) - before) / seconds) * 10) / 10 }
    })
  }

  /** Keeps a handful of samples of the last seconds. */
  async #take(): Promise<readonly TopicInfo[]> {
    const topics = await this.#read()
    const now = performance.now()
    const newest = this.#samples.at(-1)
    this.#samples = this.#samples.filter(({ at }) => now - at < longestMs)
    if (this.#samples.length > 0 && newest && now - newest.at < shortestMs) return topics
    this.#samples.push({ at: now, ends: new Map(topics.map((info) => [info.name, end(info)])) })
    // The oldest few seconds are enough to divide by.
    while (this.#samples.length > 1 && now - (this.#samples[1]?.at ?? now) > 5_000) this.#samples.shift()
    return topics
  }
}

function end(info: TopicInfo): number {
  return info.partitions.reduce((sum, partition) => sum + partition.end, 0)
}
