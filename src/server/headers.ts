import type { MiddlewareHandler } from 'hono'
import { visitorOf } from './visitor.ts'

/** What an answer that is no page may do, should a browser ever show it as one. */
const nothing = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

/** What the dashboard may load, and whom it may ask: this server alone, and nothing that stands in the page itself. */
export const dashboardPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

const always: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  // An address may hold a token.
  'referrer-policy': 'no-referrer',
  'permissions-policy': 'camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()',
  'cross-origin-opener-policy': 'same-origin',
  // Pages that may ask do so by CORS, which this does not touch.
  'cross-origin-resource-policy': 'same-origin',
}

/** Headers of every answer, as far as it does not say otherwise itself: browsers make nothing else of it, and keep none. */
export function securityHeaders(): MiddlewareHandler {
  return async (c, next) => {
    await next()
    const { headers } = c.res
    for (const [name, value] of Object.entries(always)) headers.set(name, value)
    if (!headers.has('content-security-policy')) headers.set('content-security-policy', nothing)
    if (!headers.has('cache-control')) headers.set('cache-control', 'no-store')
    if (visitorOf(c).secure) headers.set('strict-transport-security', 'max-age=31536000')
  }
}
