import type { Json } from '../core/event.ts'

/** Instants, days and times of day as texts of ISO 8601, without loss down to nanoseconds. */

export type FractionDigits = 3 | 6 | 9

const perSecond = { 3: 1_000, 6: 1_000_000, 9: 1_000_000_000 } as const
const mostSeconds = 8_640_000_000_000
const iso = /^(\d{4}|[+-]\d{6})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|z|[+-]\d\d:\d\d)?$/
const day = /^(\d{4}|[+-]\d{6})-(\d\d)-(\d\d)$/
const clock = /^(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?$/

/** Of units since the Unix epoch, such as `2026-01-31T12:00:00.000Z`. `undefined` where no calendar reaches. */
export function instantText(units: number | bigint, digits: FractionDigits): string | undefined {
  const scale = perSecond[digits]
  const [seconds, fraction] = split(units, scale)
  if (Math.abs(seconds) > mostSeconds) return undefined
  return `${new Date(seconds * 1000).toISOString().slice(0, -5)}.${String(fraction).padStart(digits, '0')}Z`
}

function split(units: number | bigint, scale: number): [seconds: number, fraction: number] {
  if (typeof units === 'number') {
    const seconds = Math.floor(units / scale)
    return [seconds, units - seconds * scale]
  }
  const wide = BigInt(scale)
  const fraction = ((units % wide) + wide) % wide
  return [Number((units - fraction) / wide), Number(fraction)]
}

/** Seconds since the epoch and nanoseconds from there on. */
export interface Instant {
  readonly seconds: number
  readonly nanos: number
}

/** A text of ISO 8601 (without a zone: UTC), or milliseconds since the epoch. `undefined` for anything else. */
export function instantOf(value: Json | undefined): Instant | undefined {
  if (typeof value === 'number') {
    if (!Number.isFinite(value) || Math.abs(value) > mostSeconds * 1000) return undefined
    const seconds = Math.floor(value / 1000)
    return { seconds, nanos: Math.min(999_999_999, Math.round((value - seconds * 1000) * 1_000) * 1_000) }
  }
  const match = typeof value === 'string' ? iso.exec(value) : null
  if (match === null) return undefined
  const [, year, month, date, hour, minute, second, fraction = '', zone = 'Z'] = match
  const text = `${year}-${month}-${date}T${hour}:${minute}:${second}.000${zone.toUpperCase()}`
  const milliseconds = Date.parse(text)
  // Date.parse lets 31 February pass as 3 March.
  const given = `${year}-${month}-${date}`
  if (Number.isNaN(milliseconds) || !isDay(given)) return undefined
  return { seconds: milliseconds / 1000, nanos: Number(fraction.padEnd(9, '0')) }
}

/** Units since the epoch; what is finer than the unit is cut off. */
export function instantUnits({ seconds, nanos }: Instant, digits: FractionDigits): bigint {
  return BigInt(seconds) * BigInt(perSecond[digits]) + BigInt(Math.floor(nanos / 10 ** (9 - digits)))
}

/** Days since 1970-01-01, as `2026-01-31`. */
export function dayText(days: number): string | undefined {
  const seconds = days * 86_400
  if (Math.abs(seconds) > mostSeconds) return undefined
  return new Date(seconds * 1000).toISOString().replace(/T.*$/, '')
}

export function dayOf(value: Json | undefined): number | undefined {
  if (typeof value !== 'string' || !isDay(value)) return undefined
  return Date.parse(`${value}T00:00:00Z`) / 86_400_000
}

function isDay(text: string): boolean {
  if (!day.test(text)) return false
  const at = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(`${text}T`)
}

/** Units since midnight, as `12:00:00.000`. `undefined` for more than a day. */
export function clockText(units: number, digits: 3 | 6): string | undefined {
  const [seconds, fraction] = split(units, perSecond[digits])
  if (seconds < 0 || seconds >= 86_400) return undefined
  const time = new Date(seconds * 1000).toISOString().slice(11, 19)
  return `${time}.${String(fraction).padStart(digits, '0')}`
}

export function clockOf(value: Json | undefined, digits: 3 | 6): number | undefined {
  const match = typeof value === 'string' ? clock.exec(value) : null
  if (match === null) return undefined
  const [, hour = '', minute = '', second = '00', fraction = ''] = match
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined
  const seconds = Number(hour) * 3_600 + Number(minute) * 60 + Number(second)
  return seconds * perSecond[digits] + Number(fraction.padEnd(9, '0').slice(0, digits))
}
