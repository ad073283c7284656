import type {
  ChangesMessage,
  EventsMessage,
  GapMessage,
  JsonValue,
  PresenceMessage,
  QuerySubscribeRequest,
  RowsMessage,
  SubscribedMessage,
  SubscribeRequest,
} from '../live/protocol.ts'
import { MillraceClientError } from './errors.ts'
import { tell } from './listeners.ts'

/** What a server says to a subscription while it flows. */
export type StreamMessage = EventsMessage | GapMessage | PresenceMessage | RowsMessage | ChangesMessage

export type StreamRequest = Omit<SubscribeRequest, 'id' | 'type'> | Omit<QuerySubscribeRequest, 'id' | 'type'>

/** A subscription as its connection sees it. */
export interface Stream {
  readonly closed: boolean
  /** What to ask the server for, from where this is. */
  request(): StreamRequest
  /** The server has answered. */
  accept(message: SubscribedMessage): void
  /** What was seen before is dropped. */
  receive(message: StreamMessage): void
  /** Everything up to this offset has come. */
  advance(offset: number): void
  /** The server has something to say, and goes on. */
  warn(error: MillraceClientError): void
  /** The server has ended it. */
  fail(error: MillraceClientError): void
  close(): void
}

/** What a subscription asks of its connection. */
export interface Feed {
  subscribe(stream: Stream): void
  unsubscribe(stream: Stream): void
  /** Subscribes anew, from where the stream is. */
  restart(stream: Stream): void
  present(stream: Stream, state: JsonValue): Promise<void>
}

/** A subscription to a channel or a query, across connections: what they have in common. */
export abstract class LiveStream<Events> implements Stream {
  readonly #listeners: { [Type in keyof Events]?: Set<(event: Events[Type]) => void> } = {}
  readonly #ready: Promise<void>
  #flows: () => void = () => undefined
  #ends: (error: MillraceClientError) => void = () => undefined
  #wake: () => void = () => undefined
  #closed = false
  #error: MillraceClientError | undefined
  protected readonly feed: Feed

  constructor(feed: Feed) {
    this.feed = feed
    this.#ready = new Promise((resolve, reject) => {
      this.#flows = resolve
      this.#ends = reject
    })
    // Only whoever asks is told.
    this.#ready.catch(() => undefined)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Answers what takes the listener off again. */
  on<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): () => void {
    this.#listeners[type] ??= new Set()
    const listeners = this.#listeners[type]
    listeners?.add(listener)
    return () => listeners?.delete(listener)
  }

  /** Resolves when the first of it is there. Rejects if the server refuses the subscription, or it is closed before. */
  ready(): Promise<void> {
    return this.#ready
  }

  close(): void {
    this.#end(new MillraceClientError({ code: 'closed', message: 'The subscription is closed.' }))
  }

  // For the connection.
  abstract request(): StreamRequest
  abstract accept(message: SubscribedMessage): void
  abstract receive(message: StreamMessage): void
  abstract advance(offset: number): void
  abstract warn(error: MillraceClientError): void

  fail(error: MillraceClientError): void {
    if (this.#closed) return
    this.#error = error
    this.#end(error)
    this.failed(error)
  }

  /** Tells the listeners. */
  protected abstract failed(error: MillraceClientError): void
  /** Lets go of what is held; for a class that holds something. */
  protected release(): void {}

  protected listensTo(type: keyof Events): boolean {
    return (this.#listeners[type]?.size ?? 0) > 0
  }

  protected emit<Type extends keyof Events>(type: Type, event: Events[Type]): void {
    tell(this.#listeners[type] ?? [], event)
  }

  protected flows(): void {
    this.#flows()
  }

  protected wake(): void {
    this.#wake()
  }

  /** For an iteration that has nothing to give: false when nothing will come any more. Throws what ended it. */
  protected async more(): Promise<boolean> {
    if (this.#error) throw this.#error
    if (this.#closed) return false
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    return true
  }

  #end(error: MillraceClientError): void {
    if (this.#closed) return
    this.#closed = true
    this.#ends(error)
    this.feed.unsubscribe(this)
    this.release()
    this.#wake()
  }
}
