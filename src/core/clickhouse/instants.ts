import type { Json } from '../event.ts'
import { Misfit, shown } from './misfit.ts'

const iso = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?)?$/i

/** Below this ClickHouse would take a number in quotes for a date written without dashes. */
const leastQuotedSeconds = 1_000_000_000
const mostSeconds = 2 ** 32 - 1
/** 1900-01-01 to 2299-12-31, what DateTime64 holds. */
const earliestSecond = -2_208_988_800
const latestSecond = 10_413_791_999

interface Instant {
  /** Since the Unix epoch, rounded down. */
  readonly seconds: number
  /** Digits after the point, as many as were given. */
  readonly fraction: string
}

/** DateTime: whole seconds. */
export function instantReading(value: Json): number {
  const { seconds } = instantOf(value)
  if (seconds < 0 || seconds > mostSeconds) throw new Misfit(`${shown(value)} is out of the range of DateTime`)
  return seconds
}

/** DateTime64: digits beyond the column's precision are cut off. */
export function preciseInstantReading(precision: number): (value: Json) => string {
  return (value) => {
    const { seconds, fraction } = instantOf(value)
    if (seconds < earliestSecond || seconds > latestSecond) {
      throw new Misfit(`${shown(value)} is out of the range of DateTime64`)
    }
    const digits = fraction.slice(0, precision)
    if (seconds >= leastQuotedSeconds && seconds < 10 * leastQuotedSeconds)
      return digits === '' ? `${seconds}` : `${seconds}.${digits}`
    const text = new Date(seconds * 1000).toISOString().slice(0, -5)
    return digits === '' ? `${text}Z` : `${text}.${digits}Z`
  }
}

/** Date and Date32: the day in UTC. */
export function dateReading(type: 'Date' | 'Date32'): (value: Json) => string {
  const [least, most] = type === 'Date' ? ['1970-01-01', '2149-06-06'] : ['1900-01-01', '2299-12-31']
  return (value) => {
    const date = new Date(instantOf(value).seconds * 1000)
    const day = Number.isNaN(date.getTime()) ? '' : date.toISOString().slice(0, 10)
    if (day < least || day > most) throw new Misfit(`${shown(value)} is out of the range of ${type}`)
    return day
  }
}

function instantOf(value: Json): Instant {
  if (typeof value === 'number' && Number.isFinite(value)) {
    const seconds = Math.floor(value / 1000)
    const rest = Math.floor(value - seconds * 1000)
    return { seconds, fraction: String(rest).padStart(3, '0') }
  }
  const match = typeof value === 'string' ? iso.exec(value) : null
  if (match === null) throw new Misfit(`${shown(value)} is neither milliseconds since 1970 nor an ISO 8601 time`)
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone = 'Z'] = match
  const milliseconds = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  )
  // A date that does not exist, such as 30 February, would silently become another one.
  if (new Date(milliseconds).getUTCDate() !== Number(day) || Number(hour) > 23)
    throw new Misfit(`${shown(value)} is no time`)
  return { seconds: milliseconds / 1000 - zoneSeconds(zone), fraction }
}

function zoneSeconds(zone: string): number {
  if (zone.toUpperCase() === 'Z') return 0
  const sign = zone.startsWith('-') ? -1 : 1
  const digits = zone.replace(/[+:-]/g, '').padEnd(4, '0')
  return sign * (Number(digits.slice(0, 2)) * 3600 + Number(digits.slice(2)) * 60)
}
