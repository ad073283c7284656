/** As long as we wait at most for what asks us to. */
const longestMs = 60_000
/** Numbers above this are instants in seconds of Unix time, not spans. */
const leastInstant = 1e9
const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/**
 * How long a server that refused a request wants to be left alone, in milliseconds: by `retry-after-ms`, by
 * `Retry-After` (seconds or a date), or else by when the limit that is used up is reset (`x-ratelimit-reset-…`, such as
 * `6m0s`). Those are read of refusals only: after an answer they say when the limit is whole again, and it is not needed whole.
 */
export function retryAfterMs(headers: Headers, now: number): number | undefined {
  const asked = number(headers.get('retry-after-ms')) ?? instant(headers.get('retry-after'), now) ?? reset(headers, now)
  return asked === undefined ? undefined : Math.min(longestMs, Math.max(0, asked))
}

function reset(headers: Headers, now: number): number | undefined {
  const kinds = ['requests', 'tokens']
  const used = kinds.filter((kind) => number(headers.get(`x-ratelimit-remaining-${kind}`)) === 0)
  const resets = (used.length === 0 ? kinds : used).map((kind) => span(headers.get(`x-ratelimit-reset-${kind}`), now))
  const known = resets.filter((wait) => wait !== undefined)
  return known.length === 0 ? undefined : Math.max(...known)
}

/** `1.5s`, `6m0s`, `20ms`; a plain number is seconds, or an instant in Unix time. */
function span(text: string | null, now: number): number | undefined {
  const plain = number(text)
  if (plain !== undefined) return plain > leastInstant ? plain * 1_000 - now : plain * 1_000
  if (text === null || !/^(?:\d+(?:\.\d+)?(?:ms|[smh]))+$/.test(text)) return undefined
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smh])/g)]
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (unitMs[unit ?? ''] ?? 0), 0)
}

function instant(text: string | null, now: number): number | undefined {
  if (text === null) return undefined
  const seconds = number(text)
  if (seconds !== undefined) return seconds * 1_000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : date - now
}

function number(text: string | null): number | undefined {
  return text !== null && /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : undefined
}
