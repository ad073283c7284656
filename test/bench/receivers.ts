import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Received, ReceiverMessage } from './live-receivers.ts'

export interface ReceiverSettings {
  readonly port: number
  readonly clients: number
  /** The channel that each subscribes to; left out for a server that sends without being asked. */
  readonly subscribe?: string
  /** So many of them read nothing once they are subscribed. */
  readonly stalled?: number
}

export interface Window {
  /** Events a second over all clients. */
  readonly rate: number
  readonly eventsPerFrame: number
  /** What clients were told they had missed, for they were slow, as a share of what was sent. */
  readonly missed: number
  readonly delays: readonly number[]
}

/** Live clients in a process of their own. */
export class Receivers implements AsyncDisposable {
  readonly #child: ChildProcess
  #last: Received = { events: 0, frames: 0, bytes: 0, missed: 0, at: 0, delays: [] }
  #delays: number[] = []

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /** Resolves when all are connected and subscribed. */
  static async open({ port, clients, subscribe = '', stalled = 0 }: ReceiverSettings): Promise<Receivers> {
    const settings = new URLSearchParams({
      port: String(port),
      clients: String(clients),
      subscribe,
      stalled: String(stalled),
    })
    const child = fork(join(import.meta.dirname, 'live-receivers.js'), [settings.toString()])
    const receivers = new Receivers(child)
    await new Promise<void>((resolve, reject) => {
      child.on('message', (message: ReceiverMessage) => {
        if ('open' in message) resolve()
        else receivers.#take(message)
      })
      child.on('exit', (code) => reject(new Error(`the receivers ended with ${code}`)))
    })
    return receivers
  }

  get events(): number {
    return this.#last.events
  }

  /** What arrives in the next so many milliseconds. */
  async window(milliseconds: number): Promise<Window> {
    const before = await this.#next()
    this.#delays = []
    await sleep(milliseconds)
    const after = await this.#next()
    return {
      rate: ((after.events - before.events) * 1000) / (after.at - before.at),
      eventsPerFrame: (after.events - before.events) / (after.frames - before.frames),
      missed: (after.missed - before.missed) / Math.max(1, after.events - before.events + after.missed - before.missed),
      delays: this.#delays,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
  }

  #take(received: Received): void {
    this.#last = received
    this.#delays.push(...received.delays)
  }

  async #next(): Promise<Received> {
    const seen = this.#last
    while (this.#last === seen) {
      if (this.#child.exitCode !== null) throw new Error('the receivers have ended')
      await sleep(5)
    }
    return this.#last
  }
}
