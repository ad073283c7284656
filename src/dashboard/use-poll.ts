import { useEffect, useRef, useState } from 'preact/hooks'
import { get } from './api.ts'
import { useClient } from './session.ts'

export interface Polled<Answer> {
  /** Undefined until the server has answered for this path. */
  readonly answer: Answer | undefined
  readonly error: unknown
}

/** What the server answers now and again later. `pause`: after how many milliseconds. Without a path nothing is asked. */
export function usePoll<Answer>(
  path: string | undefined,
  pause: (answer: Answer | undefined) => number,
): Polled<Answer> {
  const client = useClient()
  const [polled, setPolled] = useState<Polled<Answer>>({ answer: undefined, error: undefined })
  const latest = useRef(pause)
  latest.current = pause
  useEffect(() => {
    setPolled({ answer: undefined, error: undefined })
    if (path === undefined) return
    const stop = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = async () => {
      let answer: Answer | undefined
      try {
        answer = await get<Answer>(client, path, stop.signal)
        setPolled({ answer, error: undefined })
      } catch (error) {
        if (!stop.signal.aborted) setPolled((before) => ({ ...before, error }))
      }
      if (!stop.signal.aborted) timer = setTimeout(() => void look(), latest.current(answer))
    }
    void look()
    return () => {
      stop.abort()
      clearTimeout(timer)
    }
  }, [client, path])
  return polled
}
