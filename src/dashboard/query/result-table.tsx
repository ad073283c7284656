import type { JsonValue, QueryRows } from '../../client/index.ts'

const mostRows = 200

export function ResultTable({ rows: { columns, rows } }: { readonly rows: QueryRows }) {
  // A row has no identity but its place.
  const placed = rows.slice(0, mostRows).map((row, place) => ({ row, place }))
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard.
    <section class="scroll-x" tabIndex={0} aria-label="Result">
      <table>
        <thead>
          <tr>
            {columns.map(({ name, type }) => (
              <th scope="col" key={name} title={type}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {placed.map(({ row, place }) => (
            <tr key={place}>
              {columns.map(({ name }) => (
                <td key={name}>{cellText(row[name])}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > mostRows && <p class="muted">The first {mostRows} rows are shown.</p>}
    </section>
  )
}

function cellText(value: JsonValue | undefined): string {
  if (value === undefined || value === null) return '–'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
