import { z } from 'zod'

const milliseconds: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const bytes: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

const durationPattern = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/
const byteSizePattern = /^(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$/i
const durationMessage = 'expected a duration with its unit, such as 500ms, 10s, 5m, 1h or 7d'
const byteSizeMessage = 'expected a size with its unit, such as 64KB, 8MB or 10GB'

/** `500ms`, `1.5s`, `10m`, `1h`, `7d` in milliseconds; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  return scaled(durationPattern.exec(text.trim()), (unit) => milliseconds[unit])
}

/** `64KB`, `8 MB`, `1GiB` in bytes (KB is 1,000, KiB is 1,024); undefined for anything else. */
export function parseByteSize(text: string): number | undefined {
  return scaled(byteSizePattern.exec(text.trim()), (unit) => {
    const name = Object.keys(bytes).find((known) => known.toLowerCase() === unit.toLowerCase())
    return name === undefined ? undefined : bytes[name]
  })
}

function scaled(match: RegExpExecArray | null, factorOf: (unit: string) => number | undefined): number | undefined {
  const factor = match === null ? undefined : factorOf(match[2] ?? '')
  return factor === undefined ? undefined : Math.round(Number(match?.[1]) * factor)
}

/**
 * An option that is a duration: `500ms`, `10s`, `7d`; a plain number is milliseconds. Parses to milliseconds.
 * Idempotent, so options that were parsed once may be parsed again. Defaults go behind it as text:
 * `duration().prefault('1s')`.
 */
export function duration() {
  return z
    .union([z.string().regex(durationPattern, durationMessage), z.number().nonnegative()], { error: durationMessage })
    .transform((value) => (typeof value === 'number' ? value : (parseDuration(value) ?? 0)))
}

/**
 * An option that is an amount of memory or disk: `64KB`, `8MB`; a plain number is bytes. Parses to bytes. Idempotent.
 * Defaults go behind it as text: `byteSize().prefault('8MB')`.
 */
export function byteSize() {
  return z
    .union([z.string().regex(byteSizePattern, byteSizeMessage), z.number().int().nonnegative()], {
      error: byteSizeMessage,
    })
    .transform((value) => (typeof value === 'number' ? value : (parseByteSize(value) ?? 0)))
}
