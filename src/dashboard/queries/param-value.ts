import type { JsonValue } from '../../client/index.ts'

/** What was typed, as a value of a ClickHouse type; as it is where it does not fit, so that the server says what is wrong. */
export function paramValue(type: string, text: string): JsonValue {
  const inner = /^Nullable\((.*)\)$/.exec(type)?.[1] ?? type
  if (/^(U?Int(8|16|32)|Float(32|64))$/.test(inner)) return Number.isFinite(Number(text)) ? Number(text) : text
  if (inner === 'Bool' && /^(true|false)$/.test(text)) return text === 'true'
  if (!/^(Array|Map|Tuple)\(/.test(inner)) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
