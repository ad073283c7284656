import { z } from 'zod'
import { defineSink, type EventSink } from '../src/core/component.ts'
import { type Event, positionId } from '../src/core/event.ts'
import type { LiveEvent } from '../src/core/live-log.ts'

const options = z.strictObject({
  channel: z.string().min(1).describe('The channel that clients subscribe to.'),
  vector: z
    .string()
    .min(1)
    .optional()
    .describe('The vector that is compared with standing queries. Default: the only one the event has.'),
})

/** Publishes events on a channel, as soon as the processors are done with them. */
export const live = defineSink({
  kind: 'sink',
  name: 'live',
  summary: 'Pushes events to the subscribers of a channel, at once. A tombstone retracts the event of its id.',
  example: 'live: tickets',
  main: 'channel',
  options,
  references: ({ vector }) => (vector === undefined ? [] : [{ kind: 'vector', path: ['vector'], name: vector }]),
  async create({ channel, vector }, { services, component }): Promise<EventSink> {
    const log = await services.live()
    return {
      takes: 'events',
      async write(events, { lane }) {
        if (events.length === 0) return []
        // The live log remembers how far each lane has come: two sinks of one pipeline on one channel are two lanes.
        await log.append(
          channel,
          `${lane}/${component}`,
          events.map((event) => liveEvent(event, vector)),
          events.map(({ position }) => position.offset),
        )
        return []
      },
    }
  },
})

function liveEvent(event: Event, name: string | undefined): LiveEvent {
  const { id, key, value, timestamp, vectors, position } = event
  const names = Object.keys(vectors)
  const chosen = name ?? (names.length === 1 ? names[0] : undefined)
  const vector = chosen === undefined ? undefined : vectors[chosen]
  return {
    id,
    key,
    value,
    timestamp,
    ...(isOfPosition(event) ? {} : { version: position.offset }),
    ...(vector === undefined ? {} : { vector }),
  }
}

/** Such an id (a piece of a position's event too, `…#2`) never comes again, so its event needs no version. */
function isOfPosition({ id, position }: Event): boolean {
  const own = positionId(position)
  return id === own || id.startsWith(`${own}#`)
}
