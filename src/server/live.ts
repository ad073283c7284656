import type { Context } from 'hono'
import { z } from 'zod'
import { channelName, firstProblem, parseEventId, type SubscribeOptions, subscribeOptions } from '../live/index.ts'
import { readQuery } from './body.ts'
import type { GatewayContext } from './context.ts'
import { InvalidRequest } from './problem.ts'
import { pathParameter, type Routes } from './route.ts'
import { eventStream } from './sse.ts'
import { StreamTransport } from './stream-transport.ts'

const listenQuery = z.object({
  filter: z.string().optional().describe('A CEL expression over `value`, `key` and `timestamp`.'),
  similar: z.string().optional().describe('Only events that mean about the same as this text.'),
  minScore: z.coerce.number().optional().describe('Least cosine similarity to `similar`.'),
  since: z.string().optional().describe('`epoch:offset` to go on after an event; `Last-Event-ID` says the same.'),
  time: z
    .string()
    .optional()
    .describe('Begin with what was appended since then: ISO 8601, or milliseconds since 1970.'),
  ago: z.coerce.number().optional().describe('The same, so many milliseconds before now.'),
  last: z.coerce.number().int().optional().describe('How many of the newest events come first.'),
  conflate: z.string().optional().describe('A CEL expression: of events that wait, the latest of each result is sent.'),
  maxRate: z.coerce.number().optional().describe('Events a second at most.'),
  token: z.string().optional().describe('For browsers, which cannot set a header here.'),
})

const sample =
  'id: 1f3a:58\ndata: {"offset":58,"id":"support.tickets/0/41","time":1764000000000,"key":null,"value":{"subject":"hi"}}\n\n'

export function liveRoutes(routes: Routes, { live }: GatewayContext): void {
  routes.add(
    {
      method: 'get',
      path: '/v1/live',
      permission: 'caller',
      tag: 'Live',
      summary: 'WebSocket of the protocol millrace.v1',
      description:
        'JSON text frames: subscribe, unsubscribe, publish and authenticate; events, gaps and heartbeats come back.',
      answers: { 101: { description: 'The connection is a WebSocket.' } },
      problems: [401, 403, 426],
    },
    () => {
      throw new InvalidRequest(426, {
        code: 'upgrade_required',
        message: 'This address is a WebSocket of the protocol millrace.v1.',
        hint: 'For server-sent events use GET /v1/live/{channel}.',
      })
    },
  )

  routes.add(
    {
      method: 'get',
      path: '/v1/live/{channel}',
      permission: { action: 'subscribe', name: '{channel}', byHandler: true },
      tag: 'Live',
      summary: 'A channel as server-sent events',
      description:
        'Each event is a message with the id `epoch:offset`, so that a browser resumes by itself. First comes `subscribed` with `recovered`, which is false if events since the last one are no longer kept; `gap` says what was left out.',
      query: listenQuery,
      headers: { 'Last-Event-ID': '`epoch:offset` of the last event that was seen.' },
      answers: {
        200: { description: 'A stream of events.', content: { 'text/event-stream': { example: sample } } },
      },
      problems: [400, 401, 403, 503],
    },
    (c) => listen(c, live),
  )
}

async function listen(c: Context, live: GatewayContext['live']): Promise<Response> {
  const channel = channelName.safeParse(pathParameter(c, 'channel'))
  if (!channel.success) throw invalid(firstProblem(channel.error))
  const transport = new StreamTransport()
  transport.session = await live.listen(transport, c.get('visit'), channel.data, readOptions(c))
  return eventStream(c, transport.stream)
}

function readOptions(c: Context): SubscribeOptions {
  const { filter, similar, minScore, since, time, ago, last, conflate, maxRate } = readQuery(c, listenQuery)
  const seen = c.req.header('last-event-id') ?? since
  const position = seen === undefined ? undefined : parseEventId(seen)
  if (seen !== undefined && !position) throw invalid('since (or Last-Event-ID) is not "epoch:offset"')
  const options = {
    filter,
    similar: similar === undefined ? undefined : { text: similar, minScore },
    since:
      position ??
      (time === undefined ? undefined : { time: readTime(time) }) ??
      (ago === undefined ? undefined : { ago }) ??
      (last === undefined ? undefined : { last }),
    conflate,
    maxRate,
  }
  const checked = subscribeOptions.safeParse(options)
  if (!checked.success) throw invalid(firstProblem(checked.error))
  return checked.data
}

function readTime(text: string): number {
  const time = /^\d+$/.test(text) ? Number(text) : Date.parse(text)
  if (Number.isNaN(time)) throw invalid('time is neither ISO 8601, such as 2026-01-31T12:00:00Z, nor milliseconds')
  return time
}

function invalid(message: string): InvalidRequest {
  return new InvalidRequest(400, { code: 'invalid_query', message })
}
