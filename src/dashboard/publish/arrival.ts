import type { Client, EventFrame } from '../../client/index.ts'

export interface Arrival {
  readonly channel: string
  readonly frame: EventFrame
  /** On the page's clock, as `performance.now()`. */
  readonly at: number
}

const mostKept = 1_000

/**
 * Listens on channels for one event. What comes before it is known which event to look for is kept, because an event
 * can be through before the server's answer to its publisher is.
 */
export class ArrivalWatch {
  readonly #ready: Promise<unknown>
  readonly #close: () => void
  #seen: Arrival[] = []
  #wanted: ((arrival: Arrival) => void) | undefined

  constructor(client: Client, channels: readonly string[]) {
    const subscriptions = channels.map((channel) => {
      const subscription = client.subscribe(channel)
      subscription.on('event', (frame) => this.#come({ channel, frame, at: performance.now() }))
      return subscription
    })
    this.#ready = Promise.all(subscriptions.map((subscription) => subscription.ready()))
    this.#close = () => {
      for (const subscription of subscriptions) subscription.close()
    }
  }

  /** Resolves when everything that is published from now on will be seen. Rejects if a channel cannot be had. */
  async ready(): Promise<void> {
    await this.#ready
  }

  /** The first event that was made from the one at this place: `topic/partition/offset`. */
  find(place: string): Promise<Arrival> {
    return new Promise((resolve) => {
      this.#wanted = (arrival) => {
        const { id } = arrival.frame
        if (id === place || id.startsWith(`${place}#`)) resolve(arrival)
      }
      for (const arrival of this.#seen) this.#wanted(arrival)
      this.#seen = []
    })
  }

  close(): void {
    this.#close()
  }

  #come(arrival: Arrival): void {
    if (this.#wanted) this.#wanted(arrival)
    else if (this.#seen.length < mostKept) this.#seen.push(arrival)
  }
}
