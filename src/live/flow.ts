/** One subscription of a session, as its sender sees it: something that has messages for the client. */
export interface Flow {
  /** The subscription's name. */
  readonly id: string
  /** Of the channel or query. */
  readonly epoch: string
  /** What it counts towards the session's limits. */
  readonly queued: { readonly events: number; readonly bytes: number }
  /** Everything up to this offset was sent or told; undefined while something waits. */
  readonly settled: number | undefined
  /** Whether it has something to send, or to read that could be sent. */
  readonly wants: boolean
  /** Milliseconds until its rate lets something go; undefined if it does not hold anything back. */
  readonly readyIn: number | undefined
  /** Sends what waits, one frame at a time. Answers whether it has more that may be sent at once. */
  sendSome(): boolean
  /** Makes room, for the client is slow: what has been replaced by something newer goes. */
  conflate(): void
  /** Makes room at any price, and remembers to tell. Answers how much it dropped. */
  sample(): number
}
