import type { JsonValue } from '../../client/index.ts'

const token = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/** JSON, indented and in colours. */
export function JsonView({ value }: { readonly value: JsonValue }) {
  const text = JSON.stringify(value, undefined, 2)
  const parts = []
  let from = 0
  for (const match of text.matchAll(token)) {
    const [whole, string, colon = ''] = match
    parts.push(text.slice(from, match.index))
    const kind = string === undefined ? 'json-literal' : colon === '' ? 'json-string' : 'json-name'
    parts.push(<span class={kind}>{string ?? whole}</span>, string === undefined ? '' : colon)
    from = match.index + whole.length
  }
  parts.push(text.slice(from))
  return <pre class="code">{parts}</pre>
}
