import type { LiveQueryOptions, QueryParams, QueryRow, QueryRows } from '../client/index.ts'
import { type FeedStatus, keepStatus, notYet } from './channel-source.ts'
import { Sources } from './shared.ts'
import { useSource } from './use-source.ts'

export interface LiveQueryView<Row> extends FeedStatus, QueryRows<Row> {
  /** The first rows have not come yet. */
  readonly loading: boolean
}

interface QueryRequest {
  readonly name: string
  readonly params: QueryParams
  readonly options: LiveQueryOptions
}

const queries = new Sources<QueryRequest, LiveQueryView<QueryRow>>(
  { ...notYet, loading: true, columns: [], rows: [] },
  (client, { name, params, options }, changed) => {
    let status: FeedStatus = notYet
    const query = client.liveQuery(name, params, options)
    const unlisten = keepStatus(client, query, (change) => {
      status = { ...status, ...change }
      changed()
    })
    query.on('rows', changed)
    return {
      view: () => {
        const { rows, columns } = query
        return { ...status, loading: rows === undefined && status.error === undefined, columns, rows: rows ?? [] }
      },
      close: () => {
        unlisten()
        query.close()
      },
    }
  },
)

/**
 * The rows of a named query, kept up to date. A row that has not changed stays the same object. Without a name there is
 * nothing to see.
 */
export function useLiveQuery<Row = QueryRow>(
  name: string | undefined,
  params?: QueryParams,
  options?: LiveQueryOptions,
): LiveQueryView<Row>
export function useLiveQuery(
  name: string | undefined,
  params: QueryParams = {},
  options: LiveQueryOptions = {},
): LiveQueryView<QueryRow> {
  return useSource(queries, name === undefined ? undefined : { name, params, options })
}
