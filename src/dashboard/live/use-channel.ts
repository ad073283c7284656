import { useEffect, useState } from 'preact/hooks'
import type { Client, ConnectionState, EventFrame, Gap, SubscribeOptions, Subscription } from '../../client/index.ts'
import { useClient } from '../session.ts'

/** An event, or a hole in the stream. */
export type Item =
  | { readonly kind: 'event'; readonly frame: EventFrame; readonly id: string; readonly fresh: boolean }
  | { readonly kind: 'gap'; readonly gap: Gap; readonly id: string }

export interface ChannelView {
  /** Newest first. */
  readonly items: readonly Item[]
  /** Whether events flow now. Before, and after a break, they do not. */
  readonly subscribed: boolean
  /** How many events were left out because more came than a page can show. */
  readonly leftOut: number
  /** What the server says of it, although events flow. */
  readonly warning: string | undefined
  /** Why the server refused. */
  readonly error: unknown
}

const mostItems = 100
export const mostPerSecond = 40
/** Events that come within this time are drawn together. */
const drawMs = 40
const nothing: ChannelView = { items: [], subscribed: false, leftOut: 0, warning: undefined, error: undefined }

/** The newest events of a channel, and from then on each as it comes. Other `options`, by identity, begin anew. */
export function useChannel(channel: string | undefined, options: SubscribeOptions): ChannelView {
  const client = useClient()
  const [view, setView] = useState(nothing)
  useEffect(() => {
    setView(nothing)
    if (channel === undefined) return
    const subscription = client.subscribe(channel, { ...options, since: { last: 25 }, maxRate: mostPerSecond })
    const stop = show(subscription, (change) => setView(change))
    return () => {
      stop()
      subscription.close()
    }
  }, [client, channel, options])
  const state = useConnectionState(client)
  return state === 'open' ? view : { ...view, subscribed: false }
}

function show(subscription: Subscription, change: (next: (view: ChannelView) => ChannelView) => void): () => void {
  let come: Item[] = []
  let first = true
  let timer: ReturnType<typeof setTimeout> | undefined
  const draw = () => {
    const batch = come.reverse()
    come = []
    timer = undefined
    first = false
    change((view) => ({ ...view, items: [...batch, ...view.items].slice(0, mostItems) }))
  }
  const add = (item: Item) => {
    come.push(item)
    if (come.length > mostItems) come.shift()
    timer ??= setTimeout(draw, drawMs)
  }
  subscription.on('event', (frame) => add({ kind: 'event', frame, id: `${frame.id} ${frame.offset}`, fresh: !first }))
  subscription.on('gap', (gap) => {
    if (gap.reason === 'sampled' || gap.reason === 'conflated') {
      const count = gap.count ?? gap.to - gap.from + 1
      change((view) => ({ ...view, leftOut: view.leftOut + count }))
    } else {
      add({ kind: 'gap', gap, id: `gap ${gap.from}-${gap.to} ${Date.now()}` })
    }
  })
  subscription.on('subscribed', () => change((view) => ({ ...view, subscribed: true, error: undefined })))
  subscription.on('warning', ({ message }) => change((view) => ({ ...view, warning: message })))
  subscription.on('error', (error) => change((view) => ({ ...view, subscribed: false, error })))
  return () => clearTimeout(timer)
}

function useConnectionState(client: Client): ConnectionState {
  const [state, setState] = useState(client.state)
  useEffect(() => {
    setState(client.state)
    return client.onState(setState)
  }, [client])
  return state
}
