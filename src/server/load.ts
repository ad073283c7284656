import type { MiddlewareHandler } from 'hono'
import { Retryable } from '../core/errors.ts'

/** Bodies up to this size have room of their own beside the others, so that large ones that come slowly do not keep them out. */
const smallBody = 65_536
const roomForSmall = 16_000_000
/** The part of the room that one caller may take: bodies that it sends slowly do not keep out those of others. */
const share = 0.75

/**
 * Bounds the bytes of all bodies that are being worked on at the same time, so that many large requests cannot fill the
 * memory together. A body of unknown length counts as the largest that is allowed. Throws `Retryable` (`overloaded`).
 */
export function boundedLoad(bodyBytes: number, totalBytes: number): MiddlewareHandler {
  const ofCallers = new Map<string, number>()
  let taken = 0
  return async (c, next) => {
    const caller = c.get('visit').principal?.id ?? ''
    const own = ofCallers.get(caller) ?? 0
    const size = Math.min(declaredBytes(c.req.header('content-length'), c.req.header('transfer-encoding')), bodyBytes)
    const room = totalBytes + (size <= smallBody ? roomForSmall : 0)
    if ((taken > 0 && taken + size > room) || (own > 0 && own + size > share * room)) {
      throw new Retryable({
        code: 'overloaded',
        message: 'The server works on as much as it can hold. Try again soon.',
      })
    }
    taken += size
    ofCallers.set(caller, own + size)
    try {
      await next()
    } finally {
      taken -= size
      const left = (ofCallers.get(caller) ?? 0) - size
      if (left > 0) ofCallers.set(caller, left)
      else ofCallers.delete(caller)
    }
  }
}

/** A request that declares neither has no body. */
function declaredBytes(length: string | undefined, transfer: string | undefined): number {
  if (length !== undefined) return Number(length)
  return transfer === undefined ? 0 : Number.POSITIVE_INFINITY
}
