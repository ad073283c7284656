import { useEffect, useState } from 'preact/hooks'
import type { QueryParams, QueryRows } from '../../client/index.ts'
import { useClient } from '../session.ts'

export interface LiveRows {
  /** Undefined until the first have come. */
  readonly rows: QueryRows | undefined
  /** Whether they are kept up to date now. */
  readonly live: boolean
  /** Why the server refused. */
  readonly error: unknown
}

/** The rows are drawn so often at most. */
const mostPerSecond = 4
const nothing: LiveRows = { rows: undefined, live: false, error: undefined }

/** The rows of a named query, kept up to date. Other `params`, by identity, begin anew; without any nothing is asked. */
export function useLiveQuery(name: string, params: QueryParams | undefined): LiveRows {
  const client = useClient()
  const [view, setView] = useState(nothing)
  useEffect(() => {
    setView(nothing)
    if (params === undefined) return
    const change = (part: Partial<LiveRows>) => setView((before) => ({ ...before, ...part }))
    const query = client.liveQuery(name, params, { maxRate: mostPerSecond })
    query.on('rows', (rows) => change({ rows: { columns: query.columns, rows } }))
    query.on('subscribed', () => change({ live: true, error: undefined }))
    query.on('error', (error) => change({ live: false, error }))
    const unlisten = client.onState((state) => {
      if (state !== 'open') change({ live: false })
    })
    return () => {
      unlisten()
      query.close()
    }
  }, [client, name, params])
  return view
}
