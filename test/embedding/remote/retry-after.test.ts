import { expect, test } from 'vitest'
import { retryAfterMs } from '../../../src/embedding/remote/retry-after.ts'

const now = Date.UTC(2026, 0, 31, 12)

test.each<[Record<string, string>, number | undefined]>([
  [{}, undefined],
  [{ 'retry-after': '3' }, 3_000],
  [{ 'retry-after': '0.5' }, 500],
  [{ 'retry-after': new Date(now + 7_000).toUTCString() }, 7_000],
  [{ 'retry-after': new Date(now - 7_000).toUTCString() }, 0],
  [{ 'retry-after': 'soon' }, undefined],
  [{ 'retry-after-ms': '120', 'retry-after': '1' }, 120],
  [{ 'retry-after': '86400' }, 60_000],
  [{ 'x-ratelimit-reset-requests': '1s', 'x-ratelimit-reset-tokens': '2.5s' }, 2_500],
  [
    { 'x-ratelimit-reset-requests': '20ms', 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-tokens': '9s' },
    20,
  ],
  [{ 'x-ratelimit-reset-tokens': '6m0s' }, 60_000],
  [{ 'x-ratelimit-reset-tokens': '0m4s' }, 4_000],
  [{ 'x-ratelimit-reset-tokens': '12' }, 12_000],
  [{ 'x-ratelimit-reset-tokens': String(now / 1_000 + 15) }, 15_000],
  [{ 'x-ratelimit-reset-tokens': '1x' }, undefined],
])('%o asks for %s ms', (headers, wait) => {
  expect(retryAfterMs(new Headers(headers), now)).toBe(wait)
})
