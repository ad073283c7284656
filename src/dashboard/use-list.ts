import { useEffect, useState } from 'preact/hooks'
import { get } from './api.ts'
import { useClient } from './session.ts'

export interface List<Item> {
  /** Undefined until the server has answered. */
  readonly items: readonly Item[] | undefined
  readonly error: unknown
}

const soonMs = 2_000
const laterMs = 15_000

/** A list of the server's, such as `topics`; looked at again every now and then, sooner while it is empty. */
export function useList<Item>(name: 'topics' | 'channels' | 'collections' | 'tables'): List<Item> {
  const client = useClient()
  const [list, setList] = useState<List<Item>>({ items: undefined, error: undefined })
  useEffect(() => {
    const stop = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = async () => {
      let items: readonly Item[] | undefined
      try {
        items = (await get<Readonly<Record<string, readonly Item[]>>>(client, `/v1/${name}`, stop.signal))[name]
        setList({ items, error: undefined })
      } catch (error) {
        if (!stop.signal.aborted) setList((before) => ({ ...before, error }))
      }
      if (!stop.signal.aborted) timer = setTimeout(() => void look(), items?.length ? laterMs : soonMs)
    }
    void look()
    return () => {
      stop.abort()
      clearTimeout(timer)
    }
  }, [client, name])
  return list
}
