import { useMemo, useState } from 'preact/hooks'
import type { QueryParams } from '../../client/index.ts'
import type { NamedQuery } from '../api.ts'
import { FeedMark } from '../parts/feed-mark.tsx'
import { Picker } from '../parts/picker.tsx'
import { Problem } from '../parts/problem.tsx'
import { Section } from '../parts/section.tsx'
import { ResultTable } from '../query/result-table.tsx'
import { useList } from '../use-list.ts'
import { useSettled } from '../use-settled.ts'
import { paramValue } from './param-value.ts'
import { useLiveQuery } from './use-live-query.ts'

/** The named queries of the server, with their rows as they change; nothing where there are none. */
export function Queries() {
  const { items: queries = [] } = useList<NamedQuery>('queries')
  const [wanted, setWanted] = useState<string | undefined>(undefined)
  const query = queries.find(({ name }) => name === wanted) ?? queries[0]
  if (!query) return null
  const names = queries.map(({ name }) => name)
  return <QueryRows key={query.name} query={query} names={names} onChoose={setWanted} />
}

interface Props {
  readonly query: NamedQuery
  readonly names: readonly string[]
  readonly onChoose: (name: string) => void
}

function QueryRows({ query, names, onChoose }: Props) {
  const [typed, setTyped] = useState<Readonly<Record<string, string>>>({})
  const settled = useSettled(typed, 350)
  const missing = query.params.filter(({ name, required }) => required && !settled[name])
  // The list of queries is read again now and then: what is the same by value must not begin anew.
  const given = JSON.stringify(missing.length > 0 ? null : valuesOf(query, settled))
  const params = useMemo<QueryParams | undefined>(() => JSON.parse(given) ?? undefined, [given])
  const { rows, live, error } = useLiveQuery(query.name, params)
  return (
    <Section
      id="queries"
      title="Live queries"
      aside={
        <>
          <Picker label="Query" options={names} chosen={query.name} onChoose={onChoose} />
          {params && <FeedMark live={live} failed={error !== undefined} />}
        </>
      }
    >
      {query.description && <p class="muted">{query.description}</p>}
      {query.params.length > 0 && (
        <div class="conditions">
          {query.params.map(({ name, type, required, default: otherwise, description }) => (
            <label key={name} title={description}>
              <span class="field-name">
                {name} <small>{type}</small>
              </span>
              <input
                class="mono"
                spellcheck={false}
                autoCapitalize="off"
                required={required}
                placeholder={otherwise === undefined ? 'needed' : textOf(otherwise) || description}
                value={typed[name] ?? ''}
                onInput={({ currentTarget }) => setTyped({ ...typed, [name]: currentTarget.value })}
              />
            </label>
          ))}
        </div>
      )}
      {error !== undefined && <Problem error={error} />}
      {rows && <ResultTable rows={rows} />}
    </Section>
  )
}

/** What is left empty is what the query says it is then. */
function valuesOf({ params }: NamedQuery, typed: Readonly<Record<string, string>>): QueryParams {
  const given = params.flatMap(({ name, type }) => {
    const text = typed[name]
    return text ? [[name, paramValue(type, text)] as const] : []
  })
  return Object.fromEntries(given)
}

function textOf(value: NonNullable<NamedQuery['params'][number]['default']> | null): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
