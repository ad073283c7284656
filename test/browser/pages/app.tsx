import { useState } from 'react'
import { useChannel, useConnection, useLatest, usePublish } from '../../../src/react/index.ts'

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
      {shown && parts.includes('publish') && <PublishForm />}
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

declare global {
  var renders: Record<string, number> | undefined
}

function countRender(id: string) {
  globalThis.renders ??= {}
  globalThis.renders[id] = (globalThis.renders[id] ?? 0) + 1
}
