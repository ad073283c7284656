import type { EventFrame, SubscribeRequest } from '../live/protocol.ts'
import { MillraceClientError } from './errors.ts'
import { type ServerSentEvent, serverSentEvents } from './event-stream.ts'
import type { Http } from './http.ts'
import { broken, dispatch, type Link, type LinkOwner, needsWebSocket, parseMessage } from './link.ts'
import type { Stream } from './stream.ts'

/** Channels as server-sent events, one response for each, where a WebSocket cannot be had. */
export class EventStreamLink implements Link {
  readonly #http: Http
  readonly #owner: LinkOwner
  readonly #streams = new Map<Stream, AbortController>()
  #over = false

  constructor(http: Http, owner: LinkOwner) {
    this.#http = http
    this.#owner = owner
    void http.answers().then((answers) => {
      if (this.#over) return
      if (answers) owner.opened()
      else this.#break('the server does not answer')
    })
  }

  ask(stream: Stream): void {
    const stopping = new AbortController()
    this.#streams.set(stream, stopping)
    this.#listen(stream, stopping.signal).catch((error: unknown) => {
      if (stopping.signal.aborted) return
      if (!(error instanceof MillraceClientError) || error.code === 'unreachable') return this.#break(String(error))
      this.#streams.delete(stream)
      this.#owner.refused(stream, {
        code: error.code,
        message: error.message,
        retry: error.passing,
        status: error.status,
      })
    })
  }

  drop(stream: Stream): void {
    this.#streams.get(stream)?.abort()
    this.#streams.delete(stream)
  }

  probe(): boolean {
    return false
  }

  renew(): void {
    // Each response has been begun with a token, and ends with it.
  }

  async present(): Promise<void> {
    throw needsWebSocket('Presence needs')
  }

  close(): void {
    this.#over = true
    for (const stopping of this.#streams.values()) stopping.abort()
    this.#streams.clear()
  }

  async #listen(stream: Stream, signal: AbortSignal): Promise<void> {
    const request = stream.request()
    if ('query' in request) throw needsWebSocket('Live queries need')
    if (request.similar?.vector) throw needsWebSocket('A vector in "similar" needs')
    const { path, headers } = addressOf(request)
    const response = await this.#http.request(path, { headers, signal })
    if (!response.body) throw new Error('this platform has no bodies of responses')
    for await (const events of serverSentEvents(response.body)) {
      if (signal.aborted) return
      this.#owner.heard()
      this.#receive(stream, events)
    }
    throw new Error('the stream has ended')
  }

  #receive(stream: Stream, told: readonly ServerSentEvent[]): void {
    let events: EventFrame[] = []
    const deliver = () => {
      if (events.length > 0) stream.receive({ type: 'events', subscription: '', events })
      events = []
    }
    for (const { name, data, id, retry } of told) {
      if (retry !== undefined) this.#owner.advised(Number(retry))
      else if (name === undefined && data !== undefined) events.push(JSON.parse(data))
      else {
        deliver()
        this.#tell(stream, data, id)
      }
    }
    deliver()
  }

  #tell(stream: Stream, data: string | undefined, id: string | undefined): void {
    const message = parseMessage(data)
    // What has an id and nothing else is a heartbeat.
    if (data === undefined && id !== undefined) stream.advance(Number(id.slice(id.lastIndexOf(':') + 1)))
    else if (message?.type === 'subscribed') {
      this.#owner.accepted()
      stream.accept(message)
    } else if (message) {
      if (message.type === 'ended') this.drop(stream)
      dispatch(message, stream, this.#owner)
    }
  }

  /** All begin anew together: one that has broken seldom is the only one. */
  #break(reason: string): void {
    if (this.#over) return
    this.close()
    this.#owner.closed(broken, reason)
  }
}

function addressOf({ channel, filter, similar, since, conflate, maxRate }: Omit<SubscribeRequest, 'id' | 'type'>) {
  const query = new URLSearchParams()
  const headers: Record<string, string> = { accept: 'text/event-stream' }
  const ask = (name: string, value: string | number | undefined) => {
    if (value !== undefined) query.set(name, String(value))
  }
  ask('filter', filter)
  ask('similar', similar?.text)
  ask('minScore', similar?.minScore)
  ask('conflate', conflate)
  ask('maxRate', maxRate)
  if (typeof since === 'object') {
    if ('epoch' in since) headers['last-event-id'] = `${since.epoch}:${since.offset}`
    else if ('last' in since) ask('last', since.last)
    else if ('time' in since) ask('time', since.time)
    else ask('ago', since.ago)
  }
  return { path: `/v1/live/${encodeURIComponent(channel)}?${query}`, headers }
}
