import { isUtf8 } from 'node:buffer'
import { asBuffer, type Json } from '../core/event.ts'
import type { Codec } from '../core/serde.ts'
import { findSyntaxError } from './json-syntax.ts'
import { badBytes } from './schema.ts'

/** Deeper values could overflow the stack of whoever walks them; no real event comes near. */
const maxDepth = 500

/** UTF-8 JSON without a contract for its values. */
export function jsonCodec(): Codec {
  return {
    format: 'json',
    fields: undefined,
    schema: undefined,
    decode: decodeJson,
    encode: encodeJson,
    validate: () => [],
  }
}

export function encodeJson(value: Json): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

/** Throws `InvalidInput` (`bad_bytes`) that says where it breaks. */
export function decodeJson(bytes: Uint8Array): Json {
  const buffer = asBuffer(bytes)
  // Without this check broken bytes would quietly become replacement characters.
  if (!isUtf8(buffer)) throw badBytes(`not UTF-8: it breaks at byte ${firstBadByte(buffer)}`)
  const text = buffer.toString('utf8')
  let value: Json
  try {
    value = JSON.parse(text)
  } catch {
    throw badBytes(explain(text))
  }
  if (bytes.byteLength > 2 * maxDepth && isDeeper(value, maxDepth)) {
    throw badBytes(`JSON that is nested more than ${maxDepth} levels deep`)
  }
  return value
}

function explain(text: string): string {
  const at = findSyntaxError(text)
  if (text.trim() === '') return 'not JSON: it is empty'
  if (at >= text.length) return `not JSON: it ends too early, after ${text.length} characters`
  const before = text.slice(0, at)
  const line = before.split('\n').length
  const column = at - before.lastIndexOf('\n')
  const near = JSON.stringify(text.slice(at, at + 20))
  return `not JSON: unexpected ${near} at character ${at} (line ${line}, column ${column})`
}

/** Where the bytes stop being UTF-8: the first that does not come back from decoding. Give or take a cut sequence. */
function firstBadByte(buffer: Buffer): number {
  const back = Buffer.from(buffer.toString('utf8'))
  return buffer.findIndex((byte, index) => byte !== back[index])
}

function isDeeper(value: Json, limit: number): boolean {
  let level: Json[] = [value]
  for (let depth = 0; depth < limit; depth += 1) {
    const next: Json[] = []
    for (const item of level) {
      if (typeof item !== 'object' || item === null) continue
      for (const child of Object.values(item)) if (typeof child === 'object' && child !== null) next.push(child)
    }
    if (next.length === 0) return false
    level = next
  }
  return true
}
