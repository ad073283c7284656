import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from 'hono'
import { z } from 'zod'
import { type PipelineStatus, pipelineStates } from '../core/pipeline.ts'
import { readQuery, readText } from './body.ts'
import type { PipelineContext } from './context.ts'
import { mayAny, untilExpired } from './permission.ts'
import { pathParameter, type Routes } from './route.ts'
import { answer, wholeNumber } from './schemas.ts'
import { type ServerSentEvent, streamEvents } from './sse.ts'

const pipeline = answer(
  'Pipeline',
  z.object({
    name: z.string(),
    state: z.enum(pipelineStates),
    reason: z.string().optional().describe('Why it is degraded or failed.'),
    source: z.array(z.string()),
    sinks: z.array(z.string()),
    lanes: z.array(z.object({ topic: z.string(), partition: z.int(), committed: z.int(), end: z.int(), lag: z.int() })),
    lag: z.int().describe('Events in the source that are not yet committed.'),
    totals: z.object({ read: z.int(), written: z.int(), dropped: z.int(), deadLettered: z.int() }),
    rate: z.number().describe('Events read per second, over the last seconds.'),
    latency: z
      .object({ p50: z.number(), p99: z.number() })
      .optional()
      .describe("Milliseconds from an event's timestamp to its acceptance, last minute."),
    text: z.string().describe('The pipeline file.'),
  }),
)
const pipelines = answer('Pipelines', z.object({ pipelines: z.array(pipeline) }))

const watchQuery = z.object({
  watch: z.enum(['true', 'false']).optional().describe('`true` answers a stream of server-sent events.'),
  interval: wholeNumber(100, 60_000).default(1_000).describe('Milliseconds between two events of the stream.'),
})

const example = {
  name: 'support-tickets',
  state: 'running',
  source: ['support.tickets'],
  sinks: ['clickhouse', 'vectors', 'live'],
  lanes: [{ topic: 'support.tickets', partition: 0, committed: 40, end: 42, lag: 2 }],
  lag: 2,
  totals: { read: 42, written: 126, dropped: 0, deadLettered: 0 },
  rate: 3.5,
  latency: { p50: 12.5, p99: 31 },
  text: 'name: support-tickets\n…',
}
const one = { description: 'The pipeline.', content: { 'application/json': { schema: pipeline, example } } }
const largestFile = 1_000_000

export function pipelineRoutes(routes: Routes, { pipelines: control, closing }: PipelineContext): void {
  const listed = async (c: Context) => (await control.list()).filter(({ name }) => mayAny(c, ['manage'], name))

  routes.add(
    {
      method: 'get',
      path: '/v1/pipelines',
      permission: 'caller',
      tag: 'Pipelines',
      summary: 'All pipelines, once or as they change',
      description:
        'With `watch=true` the answer is a stream of server-sent events: `pipelines` events whose data is the same document, one at once and one whenever something changed, at most every `interval` milliseconds. Pipeline texts are left out of the stream.',
      query: watchQuery,
      answers: {
        200: {
          description: 'State, lag, rates and errors.',
          content: {
            'application/json': { schema: pipelines, example: { pipelines: [example] } },
            'text/event-stream': { example: 'event: pipelines\ndata: {"pipelines":[…]}\n\n' },
          },
        },
      },
      problems: [400],
    },
    async (c) => {
      const { watch, interval } = readQuery(c, watchQuery)
      if (watch === 'true')
        return streamEvents(c, untilExpired(c, closing), (signal) => changes(() => listed(c), interval, signal))
      return c.json({ pipelines: await listed(c) })
    },
  )

  routes.add(
    {
      method: 'get',
      path: '/v1/pipelines/{name}',
      permission: { action: 'manage', name: '{name}' },
      tag: 'Pipelines',
      summary: 'One pipeline',
      answers: { 200: one },
      problems: [404],
    },
    async (c) => c.json(await control.get(pathParameter(c, 'name'))),
  )

  routes.add(
    {
      method: 'put',
      path: '/v1/pipelines/{name}',
      permission: { action: 'manage', name: '{name}' },
      tag: 'Pipelines',
      summary: 'Start a pipeline, or replace a running one',
      body: {
        'application/yaml': { example: 'name: tickets\nsource: { topic: support.tickets }\nsinks: [console]\n' },
      },
      answers: { 200: one },
      problems: [400, 413],
    },
    async (c) => c.json(await control.put(pathParameter(c, 'name'), await readText(c, largestFile))),
  )

  routes.add(
    {
      method: 'delete',
      path: '/v1/pipelines/{name}',
      permission: { action: 'manage', name: '{name}' },
      tag: 'Pipelines',
      summary: 'Stop a pipeline and forget it',
      answers: { 204: { description: 'It has stopped; what it wrote stays.' } },
      problems: [404],
    },
    async (c) => {
      await control.remove(pathParameter(c, 'name'))
      return c.body(null, 204)
    },
  )

  for (const [action, summary] of [
    ['pause', 'Pause a pipeline'],
    ['resume', 'Let a paused pipeline go on, or a failed one try again'],
  ] as const) {
    routes.add(
      {
        method: 'post',
        path: `/v1/pipelines/{name}/${action}`,
        permission: { action: 'manage', name: '{name}' },
        tag: 'Pipelines',
        summary,
        answers: { 200: one },
        problems: [404],
      },
      async (c) => c.json(await control[action](pathParameter(c, 'name'))),
    )
  }
}

async function* changes(
  list: () => Promise<PipelineStatus[]>,
  interval: number,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  let last = ''
  while (!signal.aborted) {
    const pipelines = (await list()).map(({ text: _, ...status }) => status)
    const shown = JSON.stringify(pipelines)
    if (shown !== last) yield { event: 'pipelines', data: { pipelines } }
    last = shown
    await sleep(interval, undefined, { signal }).catch(() => undefined)
  }
}
