import type { Context } from 'hono'

const encoder = new TextEncoder()
const headers = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  // Proxies that buffer would hold events back.
  'x-accel-buffering': 'no',
}

/** A response of server-sent events, whatever feeds its stream. */
export function eventStream(c: Context, stream: ReadableStream<Uint8Array>): Response {
  return c.body(stream, 200, headers)
}

export interface ServerSentEvent {
  readonly event?: string
  readonly data: unknown
}

const keepAliveMs = 20_000

/**
 * A stream of what `produce` yields, as fast as the client takes it, with comments in between so that silence is not
 * taken for an end. The signal of `produce` fires when the client is gone or when `closing` fires; it then has to end.
 */
export function streamEvents(
  c: Context,
  closing: AbortSignal,
  produce: (signal: AbortSignal) => AsyncIterable<ServerSentEvent>,
): Response {
  const stopping = new AbortController()
  let gone = false
  let keepAlive: NodeJS.Timeout | undefined
  let events: AsyncIterator<ServerSentEvent> | undefined
  const stop = () => {
    clearInterval(keepAlive)
    closing.removeEventListener('abort', stop)
    stopping.abort()
  }
  closing.addEventListener('abort', stop)
  if (closing.aborted) stop()
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(encoder.encode(': open\n\n'))
      keepAlive = setInterval(() => {
        if ((controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(': alive\n\n'))
      }, keepAliveMs)
      keepAlive.unref()
    },
    async pull(controller) {
      events ??= produce(stopping.signal)[Symbol.asyncIterator]()
      try {
        const next = await events.next()
        if (gone) return
        if (!next.done) {
          controller.enqueue(encoder.encode(format(next.value)))
          return
        }
      } catch (error) {
        stop()
        throw error
      }
      stop()
      controller.close()
    },
    cancel() {
      gone = true
      stop()
    },
  })
  return eventStream(c, stream)
}

function format({ event, data }: ServerSentEvent): string {
  const name = event === undefined ? '' : `event: ${event}\n`
  return `${name}data: ${JSON.stringify(data)}\n\n`
}
