import type { ChannelPosition, QueryOptions, QueryRow, RowsMessage, SubscribedMessage } from '../live/protocol.ts'
import type { MillraceClientError } from './errors.ts'
import { type Feed, LiveStream, type StreamMessage, type StreamRequest } from './stream.ts'

export type QueryParams = NonNullable<QueryOptions['params']>

export type LiveQueryOptions = Pick<QueryOptions, 'maxRate'>

export interface LiveQueryEvents<Row = QueryRow> {
  /** All rows, at first and whenever one has changed. */
  rows: readonly Row[]
  /** The rows are kept up to date, at first and after each reconnection. */
  subscribed: { readonly recovered: boolean }
  /** Something is not as it was asked for, and the query goes on. */
  warning: MillraceClientError
  /** The query is no longer kept up to date. */
  error: MillraceClientError
}

/**
 * The rows of a named query, kept up to date. Listen with `on('rows', …)`, or iterate: each turn has all rows as they
 * are then, so that what changed twice in the meantime is seen once.
 */
export class LiveQuery<Row = QueryRow>
  extends LiveStream<LiveQueryEvents<Row>>
  implements AsyncIterable<readonly Row[]>
{
  readonly name: string
  readonly params: QueryParams
  readonly #options: LiveQueryOptions
  #epoch: string | undefined
  #version: number | undefined
  #rows: readonly Row[] | undefined
  #columns: RowsMessage['columns'] = []

  constructor(name: string, params: QueryParams, options: LiveQueryOptions, feed: Feed) {
    super(feed)
    this.name = name
    this.params = params
    this.#options = options
  }

  /** As they are now; undefined before the first have come. */
  get rows(): readonly Row[] | undefined {
    return this.#rows
  }

  get columns(): RowsMessage['columns'] {
    return this.#columns
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Row[], void, undefined> {
    let seen: readonly Row[] | undefined
    try {
      do {
        if (this.#rows === undefined || this.#rows === seen) continue
        seen = this.#rows
        yield seen
      } while (this.#rows !== seen || (await this.more()))
    } finally {
      this.close()
    }
  }

  request(): StreamRequest {
    const { name, params } = this
    return { query: name, params, maxRate: this.#options.maxRate, since: this.#position }
  }

  accept({ epoch, recovered }: SubscribedMessage): void {
    if (epoch !== this.#epoch) this.#version = undefined
    this.#epoch = epoch
    this.emit('subscribed', { recovered })
  }

  receive(message: StreamMessage): void {
    if (this.closed) return
    if (message.type === 'rows') {
      this.#columns = message.columns
      this.#become(message.version, message.rows.filter(isRow<Row>))
    } else if (message.type === 'changes') {
      if (this.#version === undefined || this.#rows === undefined) {
        // They are of rows that are not here.
        this.feed.restart(this)
        return
      }
      const rows = this.#rows.slice(0, message.length)
      for (const [index, row] of message.rows) if (isRow<Row>(row)) rows[index] = row
      this.#become(message.version, rows)
    }
  }

  advance(offset: number): void {
    if (this.#version !== undefined && offset > this.#version) this.#version = offset
  }

  warn(error: MillraceClientError): void {
    this.emit('warning', error)
  }

  protected failed(error: MillraceClientError): void {
    this.emit('error', error)
  }

  get #position(): ChannelPosition | undefined {
    if (this.#epoch === undefined || this.#version === undefined) return undefined
    return { epoch: this.#epoch, offset: this.#version }
  }

  #become(version: number, rows: readonly Row[]): void {
    this.#version = version
    this.#rows = rows
    this.flows()
    this.emit('rows', rows)
    this.wake()
  }
}

/** What rows are is between whoever wrote the query and whoever asks for it. */
function isRow<Row>(row: QueryRow): row is QueryRow & Row {
  return typeof row === 'object'
}
