import type { Connection } from './connection.ts'

/** How often followers look for themselves: a message is lost when the connection is, or its server. */
const lookEveryMs = 5_000

export interface Wake {
  readonly promise: Promise<void>
  /** Resolves the promise: nobody waits for the message any more. */
  cancel(): void
}

interface Topic {
  readonly waiting: Set<Wake>
  users: number
}

/**
 * Tells followers that something may have come for them, through one subscribed connection for all of them. A message
 * may be lost, so everyone is woken after each reconnection, and now and then in any case.
 */
export class Wakes {
  readonly #connection: Connection
  readonly #topics = new Map<string, Topic>()
  #listening = false
  #timer: NodeJS.Timeout | undefined

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** Watches a topic until `leave`. Does not wait for the subscription: until it stands, the looks now and then do. */
  join(name: string): void {
    const topic = this.#topics.get(name)
    if (topic) {
      topic.users++
      return
    }
    this.#topics.set(name, { waiting: new Set(), users: 1 })
    this.#timer ??= setInterval(() => this.#look(), lookEveryMs).unref()
    void this.#subscribe(name)
  }

  leave(name: string): void {
    const topic = this.#topics.get(name)
    if (!topic || --topic.users > 0) return
    this.#topics.delete(name)
    void this.#unsubscribe(name)
    if (this.#topics.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Resolves at the next message of the topic. To be called before the read that finds nothing, awaited afterwards. */
  next(name: string): Wake {
    const waiting = this.#topics.get(name)?.waiting
    let resolve = () => {}
    const promise = new Promise<void>((settle) => {
      resolve = settle
    })
    const wake: Wake = {
      promise,
      cancel: () => {
        waiting?.delete(wake)
        resolve()
      },
    }
    waiting?.add(wake)
    return wake
  }

  wakeAll(): void {
    for (const name of this.#topics.keys()) this.#wake(name)
  }

  close(): void {
    clearInterval(this.#timer)
    this.wakeAll()
    this.#topics.clear()
  }

  #look(): void {
    this.wakeAll()
    void this.#ping()
  }

  /** A connection on which nothing is asked would not notice that nothing can come any more. */
  async #ping(): Promise<void> {
    try {
      const listener = await this.#connection.listener()
      if (listener.status === 'ready') await listener.ping()
    } catch {
      // The client connects anew by itself.
    }
  }

  #wake(name: string): void {
    const topic = this.#topics.get(name)
    if (!topic) return
    for (const wake of [...topic.waiting]) wake.cancel()
  }

  async #subscribe(name: string): Promise<void> {
    try {
      const listener = await this.#connection.listener()
      if (!this.#listening) {
        this.#listening = true
        listener.on('message', (topic: string) => this.#wake(topic))
        listener.on('ready', () => this.wakeAll())
      }
      if (this.#topics.has(name)) await listener.subscribe(name)
      // What came before the subscription stood was not told.
      this.#wake(name)
    } catch {
      // The client subscribes again when it has a connection; a refusal leaves the looks now and then.
    }
  }

  async #unsubscribe(name: string): Promise<void> {
    try {
      const listener = await this.#connection.listener()
      if (this.#topics.has(name)) return
      await listener.unsubscribe(name)
      // Someone may have joined while that was on its way.
      if (this.#topics.has(name)) await listener.subscribe(name)
    } catch {
      // A connection that is gone has no subscriptions.
    }
  }
}
