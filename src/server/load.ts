import type { MiddlewareHandler } from 'hono'
import { Retryable } from '../core/errors.ts'

/** Bodies up to this size have room of their own beside the others, so that large ones that come slowly do not keep them out. */
const smallBody = 65_536
const roomForSmall = 16_000_000

/**
 * Bounds the bytes of all bodies that are being worked on at the same time, so that many large requests cannot fill the
 * memory together. A body of unknown length counts as the largest that is allowed. Throws `Retryable` (`overloaded`).
 */
export function boundedLoad(bodyBytes: number, totalBytes: number): MiddlewareHandler {
  let taken = 0
  return async (c, next) => {
    const size = Math.min(declaredBytes(c.req.header('content-length'), c.req.header('transfer-encoding')), bodyBytes)
    if (taken > 0 && taken + size > totalBytes + (size <= smallBody ? roomForSmall : 0)) {
      throw new Retryable({
        code: 'overloaded',
        message: 'The server works on as much as it can hold. Try again soon.',
      })
    }
    taken += size
    try {
      await next()
    } finally {
      taken -= size
    }
  }
}

/** A request that declares neither has no body. */
function declaredBytes(length: string | undefined, transfer: string | undefined): number {
  if (length !== undefined) return Number(length)
  return transfer === undefined ? 0 : Number.POSITIVE_INFINITY
}
