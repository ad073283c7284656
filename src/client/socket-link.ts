import {
  type ClientMessage,
  closeCodes,
  type JsonValue,
  type PublishedPosition,
  protocolName,
  type ServerMessage,
} from '../live/protocol.ts'
import { MillraceClientError } from './errors.ts'
import { dispatch, type Link, type LinkOwner, parseMessage } from './link.ts'
import type { WebSocketConstructor, WebSocketLike } from './socket.ts'
import type { Stream } from './stream.ts'

/** Longer ones go over HTTP: the server ends a connection whose frames are too large. */
const mostCharacters = 64 * 1024

type Answer = ServerMessage & { readonly id: number | null }
/** Undefined: the connection broke before the answer came. */
type OnAnswer = (answer: Answer | undefined) => void
type Request<Message = ClientMessage> = Message extends ClientMessage ? Omit<Message, 'id'> : never

/** All streams of a client on one WebSocket. */
export class SocketLink implements Link {
  readonly #socket: WebSocketLike
  readonly #owner: LinkOwner
  readonly #requests = new Map<number, OnAnswer>()
  /** By the server's name for them. */
  readonly #streams = new Map<string, Stream>()
  /** The last request for each stream that is wanted: an answer to an earlier one does not count any more. */
  readonly #asked = new Map<Stream, number>()
  #lastRequest = 0
  #over = false

  constructor(WebSocket: WebSocketConstructor, url: string, token: string | undefined, owner: LinkOwner) {
    this.#owner = owner
    const socket = new WebSocket(url, protocolName)
    this.#socket = socket
    socket.addEventListener('open', () => this.#opened(token))
    socket.addEventListener('error', () => undefined)
    socket.addEventListener('message', ({ data }) => this.#received(data))
    socket.addEventListener('close', ({ code, reason }) => this.#ended(code, reason))
  }

  ask(stream: Stream): void {
    const id: number = this.#request({ type: 'subscribe', ...stream.request() }, (answer) => {
      const wanted = this.#asked.get(stream) === id
      if (answer?.type === 'subscribed') {
        const { subscription } = answer
        this.#owner.accepted()
        if (!wanted) return this.#leave(subscription)
        this.#streams.set(subscription, stream)
        stream.accept(answer)
      } else if (answer?.type === 'error' && wanted) {
        this.#asked.delete(stream)
        this.#owner.refused(stream, answer)
      }
    })
    this.#asked.set(stream, id)
  }

  drop(stream: Stream): void {
    this.#asked.delete(stream)
    const subscription = this.#nameOf(stream)
    if (subscription === undefined) return
    this.#streams.delete(subscription)
    this.#leave(subscription)
  }

  probe(): boolean {
    // What the answer says does not matter.
    this.#leave('')
    return true
  }

  renew(token: string): void {
    this.#request({ type: 'authenticate', token }, (answer) => {
      if (answer?.type === 'authenticated') this.#owner.authenticated(answer.expires)
      else if (answer?.type === 'error') this.#owner.notRenewed(answer)
    })
  }

  present(stream: Stream, state: JsonValue): Promise<void> {
    const subscription = this.#nameOf(stream)
    return new Promise((resolve, reject) => {
      // Otherwise it is told with the next subscription.
      if (subscription === undefined) return resolve()
      this.#request({ type: 'presence', subscription, state }, (answer) => {
        if (answer?.type === 'error') reject(new MillraceClientError(answer))
        else resolve()
      })
    })
  }

  publish(
    topic: string,
    events: readonly JsonValue[],
    key: string | undefined,
  ): Promise<readonly PublishedPosition[]> | undefined {
    const id = ++this.#lastRequest
    const text = encode({ id, type: 'publish', topic, events, key })
    if (text.length > mostCharacters) return undefined
    return new Promise((resolve, reject) => {
      this.#requests.set(id, (answer) => {
        if (answer?.type === 'published') resolve(answer.positions)
        else reject(answer?.type === 'error' ? new MillraceClientError(answer) : unacknowledged())
      })
      this.#socket.send(text)
    })
  }

  close(): void {
    this.#end()
    this.#socket.close(1000)
  }

  #opened(token: string | undefined): void {
    if (token === undefined) this.#owner.opened()
    else {
      this.#request({ type: 'authenticate', token }, (answer) => {
        if (answer?.type === 'authenticated') {
          this.#owner.authenticated(answer.expires)
          this.#owner.opened()
        } else if (answer?.type === 'error') {
          this.#ended(answer.retry ? closeCodes.serverError : closeCodes.unauthenticated, answer.message)
          this.#socket.close(1000)
        }
      })
    }
  }

  #received(data: unknown): void {
    if (this.#over) return
    this.#owner.heard()
    const message = parseMessage(data)
    if (!message) return
    if ('id' in message && message.id !== null) {
      const answer = this.#requests.get(message.id)
      this.#requests.delete(message.id)
      answer?.(message)
    } else if (message.type === 'heartbeat') {
      for (const [name, offset] of Object.entries(message.offsets)) this.#streams.get(name)?.advance(offset)
    } else {
      const { subscription } = { subscription: undefined, ...message }
      const stream = subscription === undefined ? undefined : this.#streams.get(subscription)
      if (message.type === 'ended') this.#streams.delete(message.subscription)
      dispatch(message, stream, this.#owner)
    }
  }

  #ended(code: number, reason: string): void {
    if (this.#over) return
    this.#end()
    this.#owner.closed(code, reason)
  }

  /** Whatever the socket still says is not heard, and nobody waits for an answer. */
  #end(): void {
    this.#over = true
    const unanswered = [...this.#requests.values()]
    this.#requests.clear()
    this.#streams.clear()
    for (const tell of unanswered) tell(undefined)
  }

  #leave(subscription: string): void {
    this.#request({ type: 'unsubscribe', subscription })
  }

  #nameOf(stream: Stream): string | undefined {
    for (const [name, known] of this.#streams) if (known === stream) return name
    return undefined
  }

  #request(request: Request, answer: OnAnswer = () => undefined): number {
    const id = ++this.#lastRequest
    if (this.#over) answer(undefined)
    else {
      this.#requests.set(id, answer)
      this.#socket.send(encode({ ...request, id }))
    }
    return id
  }
}

function encode(message: ClientMessage): string {
  return JSON.stringify(message)
}

/** The request is gone, and no answer has come. */
export function unacknowledged(cause?: unknown): MillraceClientError {
  const message = 'The connection broke before the server answered: the events may have been taken or not.'
  return new MillraceClientError({ code: 'unacknowledged', message, cause })
}
