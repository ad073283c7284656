import type { Runtime } from '../config/runtime.ts'
import { errorMessage, MillraceError } from '../core/errors.ts'
import type { Finding } from './checks.ts'

type Server = Runtime['server']

/** Who is let in by the server, and whether others can listen, in one line. */
export function protection({ token, jwt, access, tls }: Server): string {
  const ways = [
    ...(token === undefined ? [] : ['token']),
    ...(jwt === undefined ? [] : ['JSON Web Tokens']),
    ...(tls?.clients === undefined ? [] : [`certificates of clients (${tls.clients})`]),
  ]
  if (ways.length === 0) return `every program of this machine may do everything${tls ? ', over TLS' : ''}`
  const rules = access.length === 0 ? '' : `, ${access.length} ${access.length === 1 ? 'rule' : 'rules'}`
  return `${ways.join(' or ')}${rules}, ${tls ? 'over TLS' : 'without TLS'}`
}

/** Whether the keys and rules of the server can be used. */
export async function checkDoor(server: Server): Promise<Finding> {
  // Loaded only here: a command that starts no server needs none of it.
  const { createAccess } = await import('../access/index.ts')
  try {
    await createAccess(server)
  } catch (error) {
    return {
      level: 'fail',
      message: errorMessage(error),
      hint: error instanceof MillraceError ? error.hint : undefined,
    }
  }
  return { level: 'ok', message: `who may ask: ${protection(server)}` }
}
