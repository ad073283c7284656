import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client'
import { quoteString } from '../../src/core/clickhouse/sql.ts'
import { Fatal } from '../../src/core/errors.ts'
import { onAllReplicas } from './cluster.ts'
import { parsedResult } from './engine.ts'

export const filterSetting = 'additional_table_filters'

const freshMs = 60_000
/** No table has this name. */
const sample = `{'millrace.probe':'1'}`

/**
 * Whether a setting gets where queries run. Proxies let settings through that they know, and a server takes from another server
 * of its cluster only what that one's user may set; neither says a word of what it drops.
 */
export class FilterProbe {
  readonly #name: string
  readonly #cluster: string | undefined
  #last: { readonly at: number; readonly outcome: Promise<void> } | undefined

  constructor(name: string, cluster: string | undefined) {
    this.#name = name
    this.#cluster = cluster
  }

  /** Asks at most once a minute. Throws `Fatal` (`row_filter_not_applied`) if the setting gets lost. */
  async arrives(client: ClickHouseClient, settings: ClickHouseSettings): Promise<void> {
    const now = performance.now()
    if (this.#last === undefined || now - this.#last.at > freshMs) {
      const outcome = this.#ask(client, settings)
      this.#last = { at: now, outcome }
      outcome.catch(() => {
        this.#last = undefined
      })
    }
    await this.#last.outcome
  }

  async #ask(client: ClickHouseClient, settings: ClickHouseSettings): Promise<void> {
    const source = onAllReplicas(this.#cluster, 'system.settings')
    const query = `SELECT value FROM ${source} WHERE name = ${quoteString(filterSetting)}`
    const sent: Record<string, string> = { [filterSetting]: sample, skip_unavailable_shards: '1' }
    const result = await client.query({ query, format: 'JSONCompact', clickhouse_settings: { ...settings, ...sent } })
    const { data } = parsedResult(await result.text())
    if (data.length > 0 && data.every(([value]) => String(value).includes('millrace.probe'))) return
    throw new Fatal({
      code: 'row_filter_not_applied',
      message: `${this.#name}: the setting ${filterSetting} gets lost on its way, so nothing can be shown to those who may see some rows only`,
      hint: 'A proxy has to let it through, and the user of the servers in remote_servers must be allowed to set it.',
    })
  }
}
