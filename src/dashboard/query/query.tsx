import { useState } from 'preact/hooks'
import type { QueryRows } from '../../client/index.ts'
import type { Table } from '../api.ts'
import { formatMs, plural } from '../format.ts'
import { Problem } from '../parts/problem.tsx'
import { useClient } from '../session.ts'
import { useList } from '../use-list.ts'
import { ResultTable } from './result-table.tsx'

/** Read-only SQL; opened by those who want it. */
export function Query() {
  const [open, setOpen] = useState(false)
  return (
    <details class="panel query" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>
        <h2>SQL</h2>
        <span class="muted">ask ClickHouse</span>
      </summary>
      {open && <QueryForm />}
    </details>
  )
}

interface Result {
  readonly rows: QueryRows
  readonly ms: number
}

function QueryForm() {
  const client = useClient()
  const { items: tables, error: listError } = useList<Table>('tables')
  const [edited, setEdited] = useState<string | undefined>(undefined)
  const [result, setResult] = useState<Result | undefined>(undefined)
  const [error, setError] = useState<unknown>(undefined)
  const [busy, setBusy] = useState(false)
  const table = tables?.[0]?.name
  const sql = edited ?? (table === undefined ? 'SELECT 1' : `SELECT * FROM ${table} LIMIT 20`)
  const run = async () => {
    setBusy(true)
    setError(undefined)
    const started = performance.now()
    try {
      setResult({ rows: await client.query(sql), ms: performance.now() - started })
    } catch (problem) {
      setError(problem)
    } finally {
      setBusy(false)
    }
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        void run()
      }}
    >
      <label>
        <span class="visually-hidden">SQL</span>
        <textarea
          class="mono"
          rows={3}
          spellcheck={false}
          autoCapitalize="off"
          value={sql}
          onInput={({ currentTarget }) => setEdited(currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return
            event.preventDefault()
            void run()
          }}
        />
      </label>
      <div class="form-foot">
        <button type="submit" class="primary" disabled={busy}>
          Run
        </button>
        <span class="muted" role="status">
          {result ? `${plural(result.rows.rows.length, 'row')} in ${formatMs(result.ms)}` : tableList(tables)}
        </span>
      </div>
      {(error ?? listError) !== undefined && <Problem error={error ?? listError} />}
      {result && <ResultTable rows={result.rows} />}
    </form>
  )
}

function tableList(tables: readonly Table[] | undefined): string {
  if (tables === undefined) return ''
  return tables.length === 0 ? 'No table yet.' : `Tables: ${tables.map(({ name }) => name).join(', ')}`
}
