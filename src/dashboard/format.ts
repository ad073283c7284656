const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

/** `1,204`, and `1.2M` from a million on. */
export function formatCount(count: number): string {
  return Math.abs(count) < 1_000_000 ? whole.format(count) : compact.format(count)
}

/** Events per second: `0`, `0.3`, `24.1`, `1,204`. */
export function formatRate(rate: number): string {
  if (rate < 0.05) return '0'
  return rate < 100 ? rate.toFixed(1) : formatCount(Math.round(rate))
}

/** `0.8 ms`, `12 ms`, `1.2 s`, `3 min`, `2 h`. */
export function formatMs(ms: number): string {
  if (ms < 1) return `${ms.toFixed(1)} ms`
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`
  return ms < 3_600_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`
}

/** The time of day here, `14:03:22`; with the date if it was another day. */
export function formatTime(time: number, now: number = Date.now()): string {
  const at = new Date(time)
  const two = (part: number) => String(part).padStart(2, '0')
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':')
  if (at.toDateString() === new Date(now).toDateString()) return clock
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`
}

export function plural(count: number, one: string): string {
  return `${formatCount(count)} ${one}${count === 1 ? '' : 's'}`
}
