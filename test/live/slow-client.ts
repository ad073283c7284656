import { DirectClient } from './direct-client.ts'

/** Takes what it is sent when the test says so. */
export class SlowClient extends DirectClient {
  readonly #sent: { readonly frame: Uint8Array; readonly taken: () => void }[] = []

  override send(frame: Uint8Array, taken: () => void): void {
    this.#sent.push({ frame, taken })
    this.buffered += frame.byteLength
  }

  /** Answers how many frames there were to take. */
  take(count: number): number {
    const frames = this.#sent.splice(0, count)
    for (const { frame, taken } of frames) {
      this.buffered -= frame.byteLength
      super.send(frame, taken)
    }
    return frames.length
  }
}
