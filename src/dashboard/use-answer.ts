import { useEffect, useRef, useState } from 'preact/hooks'
import type { Client } from '../client/index.ts'
import { useClient } from './session.ts'

export interface Answer<Value> {
  readonly value: Value | undefined
  readonly error: unknown
}

/** What the server answers, asked again when `key` changes. The last answer stands until the next one is there. */
export function useAnswer<Value>(
  key: string,
  ask: (client: Client, signal: AbortSignal, key: string) => Promise<Value>,
): Answer<Value> {
  const client = useClient()
  const [answer, setAnswer] = useState<Answer<Value>>({ value: undefined, error: undefined })
  const latest = useRef(ask)
  latest.current = ask
  useEffect(() => {
    const stop = new AbortController()
    latest.current(client, stop.signal, key).then(
      (value) => {
        if (!stop.signal.aborted) setAnswer({ value, error: undefined })
      },
      (error: unknown) => {
        if (!stop.signal.aborted) setAnswer((before) => ({ ...before, error }))
      },
    )
    return () => stop.abort()
  }, [client, key])
  return answer
}
