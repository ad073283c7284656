import { closeCodes, type Session, type Transport } from '../live/index.ts'

const capacity = 64 * 1024

/** Carries a session over the body of a response. */
export class StreamTransport implements Transport {
  session: Session | undefined
  readonly stream: ReadableStream<Uint8Array>
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #waiting: (() => void)[] = []

  constructor() {
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller
        },
        pull: () => {
          const taken = this.#waiting
          this.#waiting = []
          for (const notify of taken) notify()
        },
        cancel: () => {
          this.#controller = undefined
          this.session?.disconnected()
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: capacity }),
    )
  }

  get buffered(): number {
    return this.#controller === undefined ? 0 : capacity - (this.#controller.desiredSize ?? 0)
  }

  send(frame: Uint8Array, taken: () => void): void {
    this.#waiting.push(taken)
    this.#controller?.enqueue(frame)
  }

  close(code: number): void {
    // The browser connects again by itself, whatever the code; it is there for people who look at the stream.
    if (code !== closeCodes.goingAway) this.#controller?.enqueue(new TextEncoder().encode(`: closed ${code}\n\n`))
    this.#controller?.close()
    this.#controller = undefined
  }
}
