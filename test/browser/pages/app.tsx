import { useState } from 'react'
import {
  useChannel,
  useConnection,
  useFollow,
  useLatest,
  useLiveQuery,
  useMillrace,
  usePresence,
  usePublish,
} from '../../../src/react/index.ts'

export interface Note {
  readonly text: string
}

/** One part for each hook; the page's address says which are shown. */
export function App({ parts }: { readonly parts: readonly string[] }) {
  const [shown, setShown] = useState(true)
  return (
    <>
      <output id="connection">{useConnection()}</output>
      <button type="button" onClick={() => setShown(!shown)}>
        {shown ? 'Hide' : 'Show'}
      </button>
      {shown && parts.includes('events') && <Events />}
      {shown && parts.includes('twice') && <Events id="again" />}
      {shown && parts.includes('latest') && <Latest />}
      {shown && parts.includes('standing') && <Standing />}
      {shown && parts.includes('publish') && <PublishForm />}
      {shown && parts.includes('query') && <LiveQuery />}
      {shown && parts.includes('follow') && <Orders />}
      {shown && parts.includes('presence') && <Presence />}
    </>
  )
}

function Events({ id = 'events' }: { readonly id?: string }) {
  countRender(id)
  const { events, state, gap, error } = useChannel<Note>('notes', { resume: 'notes', keep: 10_000 })
  return (
    <section id={id} data-state={state} data-gap={gap?.reason} data-error={error?.code}>
      <ol>
        {events.map(({ offset, value }) => (
          <li key={offset}>{value?.text}</li>
        ))}
      </ol>
    </section>
  )
}

function Latest() {
  const { latest, state } = useLatest<Note>('notes', { by: 'key', since: { last: 100 } })
  return (
    <section id="latest" data-state={state}>
      <ul>
        {[...latest].map(([name, { value }]) => (
          <li key={name}>
            {name}: {value.text}
          </li>
        ))}
      </ul>
    </section>
  )
}

function Standing() {
  const { latest, state } = useLatest<Order>('orders', { since: { last: 100 }, keep: 3 })
  return (
    <section id="standing" data-state={state}>
      <ul>
        {[...latest].map(([id, { value }]) => (
          <li key={id}>
            {id}: {value.total}
          </li>
        ))}
      </ul>
    </section>
  )
}

function PublishForm() {
  const publish = usePublish('notes')
  const [answer, setAnswer] = useState('')
  const send = async (text: string) => {
    const [position] = await publish({ text })
    setAnswer(`offset ${position?.offset}`)
  }
  return (
    <form action={(data) => send(String(data.get('text')))}>
      <input name="text" aria-label="Text" />
      <output id="published">{answer}</output>
    </form>
  )
}

function LiveQuery() {
  const [least, setLeast] = useState(0)
  const { rows, columns, loading, state, error } = useLiveQuery<{ region: string; sold: number }>('by-region', {
    least,
  })
  return (
    <section id="query" data-state={state} data-error={error?.code}>
      <h2>{loading ? 'loading' : columns.map(({ name }) => name).join(' ')}</h2>
      <ul>
        {rows.map(({ region, sold }) => (
          <li key={region}>
            {region}: {sold}
          </li>
        ))}
      </ul>
      <button type="button" onClick={() => setLeast(50)}>
        Large ones only
      </button>
    </section>
  )
}

interface Order {
  readonly id: string
  readonly total: number
}

function Orders() {
  const client = useMillrace()
  const { items, loading, complete, error } = useFollow<Order, Order>('orders', {
    snapshot: async (signal) =>
      (await client.query<Order>('SELECT id, total FROM orders ORDER BY at', {}, signal)).rows,
    item: ({ id, value }) => ({ id, total: value?.total ?? 0 }),
  })
  return (
    <section id="follow" data-state={loading ? 'loading' : complete ? 'live' : 'incomplete'}>
      {error instanceof Error && error.message}
      <ul>
        {items.map(({ id, total }) => (
          <li key={id}>
            {id}: {total}
          </li>
        ))}
      </ul>
    </section>
  )
}

function Presence() {
  const [name] = useState(() => new URLSearchParams(location.search).get('name') ?? '')
  const [mood, setMood] = useState('calm')
  const { members, state } = usePresence<{ name: string; mood: string }>('notes', { name, mood })
  return (
    <section id="presence" data-state={state}>
      <ul>
        {members.map((member) => (
          <li key={member.id}>
            {member.state.name} is {member.state.mood}
          </li>
        ))}
      </ul>
      <button type="button" onClick={() => setMood('merry')}>
        Cheer up
      </button>
    </section>
  )
}

declare global {
  var renders: Record<string, number> | undefined
}

function countRender(id: string) {
  globalThis.renders ??= {}
  globalThis.renders[id] = (globalThis.renders[id] ?? 0) + 1
}
