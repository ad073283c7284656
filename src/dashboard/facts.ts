import type { JsonValue } from '../client/index.ts'

/** What is worth seeing of an event at a glance. */
export interface Facts {
  readonly title: string
  /** The longest of its other texts. */
  readonly text: string | undefined
  /** Short fields by the path to them; `label` says enough to stand alone. */
  readonly short: readonly { readonly name: string; readonly label: string }[]
}

type Scalar = string | number | boolean

const titles = ['title', 'subject', 'name', 'heading', 'summary', 'message', 'text', 'body', 'path', 'id']
const kinds = [
  'category',
  'type',
  'kind',
  'label',
  'status',
  'state',
  'level',
  'severity',
  'event',
  'action',
  'package',
]
const longestShort = 28

/** Chosen by name and length, so that it does for events of any shape. */
export function factsOf(value: JsonValue, mostShort = 3): Facts {
  const fields = [...scalarsIn(value)]
  if (fields.length === 0) return { title: JSON.stringify(value), text: undefined, short: [] }
  const title =
    titles.flatMap((name) => fields.filter((field) => lastStep(field.name) === name && field.value !== ''))[0] ??
    fields.find((field) => typeof field.value === 'string' && field.value !== '') ??
    fields[0]
  const others = fields.filter((field) => field !== title && field.value !== '')
  const text = others
    .filter((field) => typeof field.value === 'string' && field.value.length > longestShort)
    .reduce((best, { value: other }) => (String(other).length > best.length ? String(other) : best), '')
  const short = others
    .map(({ name, value: other }) => ({ name, value: String(other) }))
    .filter((field) => field.value.length <= longestShort)
    .map((field) => ({ ...field, rank: rank(field) }))
    .sort((one, other) => one.rank - other.rank)
  const words = short.filter((field) => field.rank < 2)
  const chosen = (words.length >= 2 ? words : short).slice(0, mostShort)
  const labels = chosen.map((field) => {
    return { name: field.name, label: field.rank < 2 ? field.value : `${lastStep(field.name)} ${field.value}` }
  })
  return { title: oneLine(String(title?.value ?? '')), text: text === '' ? undefined : oneLine(text), short: labels }
}

/** What kind of thing it is says most at a glance; words say more than numbers and codes. */
function rank({ name, value }: { readonly name: string; readonly value: string }): number {
  if (kinds.includes(lastStep(name))) return 0
  return /^[\p{L} _-]{2,}$/u.test(value) ? 1 : 2
}

function* scalarsIn(value: JsonValue, path = '', depth = 0): Generator<{ name: string; value: Scalar }> {
  if (value === null) return
  if (typeof value !== 'object') yield { name: path || 'value', value }
  else if (!isArray(value) && depth < 3) {
    for (const [name, inner] of Object.entries(value)) {
      yield* scalarsIn(inner, path === '' ? name : `${path}.${name}`, depth + 1)
    }
  }
}

function isArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function lastStep(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1).toLowerCase()
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').slice(0, 300)
}
