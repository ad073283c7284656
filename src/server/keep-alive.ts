import type { WebSocket } from 'ws'
import { closeCodes, type Session, Slices } from '../live/index.ts'

/** A client and whether something was heard from it since the last check. */
class Kept {
  readonly client: WebSocket
  readonly session: Session
  heard = true

  constructor(client: WebSocket, session: Session) {
    this.client = client
    this.session = session
  }
}

/** Closes clients from which nothing was heard for a whole interval, not even the answer to a ping. */
export class KeepAlive {
  readonly #all = new Set<Kept>()
  readonly #timer: NodeJS.Timeout
  #checking = false

  constructor(intervalMs: number) {
    this.#timer = setInterval(() => void this.#check(), intervalMs)
    this.#timer.unref()
  }

  add(client: WebSocket, session: Session): void {
    const kept = new Kept(client, session)
    const hear = () => {
      kept.heard = true
    }
    this.#all.add(kept)
    client.on('pong', hear)
    client.on('message', hear)
    client.on('close', () => this.#all.delete(kept))
  }

  close(): void {
    clearInterval(this.#timer)
  }

  /** In slices: pinging thousands at a stretch would hold up what is sent to all of them. */
  async #check(): Promise<void> {
    if (this.#checking) return
    this.#checking = true
    const slices = new Slices()
    for (const kept of this.#all) {
      const { client, session } = kept
      // From a client that is paused, for it has asked for much, nothing can be heard.
      if (kept.heard || client.isPaused) {
        kept.heard = false
        client.ping()
      } else session.close(closeCodes.timedOut, 'nothing was heard')
      if (slices.over) await slices.pause()
    }
    this.#checking = false
  }
}
