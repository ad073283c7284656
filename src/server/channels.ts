import { z } from 'zod'
import type { LiveLog } from '../core/live-log.ts'
import type { Presence } from '../core/presence.ts'
import type { RowFilter } from '../core/principal.ts'
import { listed, listedMembers, seenBy } from '../live/index.ts'
import { channelRate } from './channel-rate.ts'
import type { GatewayContext } from './context.ts'
import { mayAny, principalOf } from './permission.ts'
import { pathParameter, type Routes } from './route.ts'
import { answer, anyJson } from './schemas.ts'

/** Channels that are looked at side by side. */
const together = 50

const channel = answer(
  'Channel',
  z.object({
    name: z.string(),
    epoch: z.string().describe('Offsets mean something within it only.'),
    first: z.int().describe('Offset of the oldest event that is kept.'),
    next: z.int().describe('Offset that the next event will get.'),
    events: z.int().describe('How many are kept.'),
    rate: z.number().describe('Events appended per second, over the last minute.'),
    subscriptions: z
      .int()
      .optional()
      .describe('Over all processes, a few seconds old. Left out for a caller who sees rows of its own only.'),
    members: z.int().describe('Sessions that are present, as far as the caller sees the same rows.'),
  }),
)
const channels = answer('Channels', z.object({ channels: z.array(channel) }))
const presence = answer(
  'ChannelPresence',
  z.object({
    count: z.int().describe('How many are present.'),
    members: z
      .array(
        z.object({
          id: z.string().describe('Of the session on this channel.'),
          user: z.string(),
          state: anyJson.describe('What the session says of itself.'),
          since: z.number().describe('Milliseconds since 1970.'),
        }),
      )
      .describe(`Those who have been there longest, ${listedMembers.toLocaleString('en')} and 1 MB at most.`),
  }),
)

const example = {
  name: 'tickets',
  epoch: '1f3a',
  first: 0,
  next: 59,
  events: 59,
  rate: 0.4,
  subscriptions: 12,
  members: 3,
}
const member = { id: 'Zk3vP0aQb1Xs', user: 'ann', state: { typing: true }, since: 1764000000000 }

export function channelRoutes(routes: Routes, { services, live }: GatewayContext): void {
  const describe = async (name: string, rows: RowFilter | undefined) => {
    const [log, sessions] = await Promise.all([services.live(), live.presence()])
    return statistics(log, sessions, name, rows)
  }

  routes.add(
    {
      method: 'get',
      path: '/v1/channels',
      permission: 'caller',
      tag: 'Live',
      summary: 'All channels',
      answers: {
        200: {
          description: 'Channels that events were pushed to, and how they are used.',
          content: { 'application/json': { schema: channels, example: { channels: [example] } } },
        },
      },
      problems: [503],
    },
    async (c) => {
      const names = (await (await services.live()).channels()).filter((name) => mayAny(c, ['subscribe'], name))
      const found: z.infer<typeof channel>[] = []
      for (let start = 0; start < names.length; start += together) {
        const some = names.slice(start, start + together)
        const principal = principalOf(c)
        found.push(...(await Promise.all(some.map((name) => describe(name, principal.rows('subscribe', name))))))
      }
      return c.json({ channels: found })
    },
  )

  routes.add(
    {
      method: 'get',
      path: '/v1/channels/{channel}',
      permission: { action: 'subscribe', name: '{channel}' },
      tag: 'Live',
      summary: 'One channel',
      description: 'A channel that nothing was pushed to yet is there as well: it has no events.',
      answers: {
        200: { description: 'The channel.', content: { 'application/json': { schema: channel, example } } },
      },
      problems: [400, 403, 503],
    },
    async (c) => c.json(await describe(pathParameter(c, 'channel'), c.get('rows'))),
  )

  routes.add(
    {
      method: 'get',
      path: '/v1/channels/{channel}/presence',
      permission: { action: 'subscribe', name: '{channel}' },
      tag: 'Live',
      summary: 'Who is present on a channel',
      description:
        'Sessions that have subscribed with `presence`. A caller who sees rows of its own sees who sees the same.',
      answers: {
        200: {
          description: 'Who is there, who came first first.',
          content: { 'application/json': { schema: presence, example: { count: 1, members: [member] } } },
        },
      },
      problems: [400, 403, 503],
    },
    async (c) => {
      const members = await (await live.presence()).members(pathParameter(c, 'channel'))
      const seen = seenBy(members, c.get('rows'))
      return c.json({ count: seen.length, members: listed(seen) })
    },
  )
}

async function statistics(
  log: LiveLog,
  presence: Presence,
  name: string,
  rows: RowFilter | undefined,
): Promise<z.infer<typeof channel>> {
  const head = await log.head(name)
  const { epoch, first, next } = head
  const [rate, members, subscriptions] = await Promise.all([
    channelRate(log, name, head),
    rows === undefined ? presence.size(name) : presence.members(name).then((all) => seenBy(all, rows).length),
    rows === undefined ? presence.subscriptions(name) : undefined,
  ])
  const counts = { rate, ...(subscriptions === undefined ? {} : { subscriptions }), members }
  return { name, epoch, first, next, events: next - first, ...counts }
}
