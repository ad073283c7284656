import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { isIPv6 } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'
import { errorCode, errorMessage, InvalidInput } from '../core/errors.ts'
import type { Live } from '../live/index.ts'
import type { BaseContext } from './context.ts'
import { isLoopback } from './origins.ts'
import { createTlsServer, type TlsFiles } from './tls.ts'
import { acceptWebSockets } from './websocket.ts'

export interface ListenOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** With it the server speaks TLS, and nothing else. */
  readonly tls?: TlsFiles | undefined
  /** How long requests in flight may take when the server closes. Default 5 s. */
  readonly drainMs?: number | undefined
}

export interface Listening {
  /** Such as `http://127.0.0.1:8080`, or `https://…` with TLS. */
  readonly address: string
  /** Takes nothing new, tells live clients to come back later, and lets requests in flight finish. */
  close(): Promise<void>
}

/**
 * Serves the application and, where there are channels, the live WebSocket. Throws `InvalidInput`: `auth_required` for an address that others can
 * reach where nobody has to show who they are, `certificate_unusable`, `port_in_use`, `port_not_allowed`, `host_unknown`.
 */
export async function listen(
  app: Hono,
  context: Pick<BaseContext, 'access' | 'origins' | 'audit' | 'log' | 'limits'> & { readonly live?: Live },
  { host, port, tls, drainMs = 5_000 }: ListenOptions,
): Promise<Listening> {
  if (!isLoopback(host) && !context.access.required) {
    throw new InvalidInput({
      code: 'auth_required',
      message: `The server would be open to everyone who can reach ${host}, so it does not start there without a token, a JWT or client certificates.`,
      hint: 'Set server.token (MILLRACE_SERVER_TOKEN), server.jwt or server.tls.clients, or listen on 127.0.0.1.',
    })
  }
  if (!isLoopback(host) && tls === undefined) {
    context.log.warn('tokens and events go over the network in the clear: set server.tls, or have a proxy speak TLS', {
      host,
    })
  }
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false })
  const server: Server = tls ? await createTlsServer(tls, context.log, listener) : createServer(listener)
  let closing = false
  server.on('request', (request, response) => {
    // A connection whose last request is answered is not kept open for another.
    response.on('finish', () => closing && request.socket.destroySoon())
  })
  const { live } = context
  const sockets: { close(): void } | undefined = live && acceptWebSockets(server, { ...context, live })
  server.listen(port, host)
  await once(server, 'listening').catch((error: unknown) => {
    throw listenError(error, host, port)
  })
  const bound = server.address()
  const actual = typeof bound === 'object' && bound !== null ? bound.port : port
  return {
    address: `${tls ? 'https' : 'http'}://${isIPv6(host) ? `[${host}]` : host}:${actual}`,
    async close() {
      const closed = once(server, 'close')
      closing = true
      server.close()
      await live?.close()
      sockets?.close()
      const late = setTimeout(() => server.closeAllConnections(), drainMs)
      await closed
      clearTimeout(late)
    },
  }
}

function listenError(error: unknown, host: string, port: number): InvalidInput {
  const found: Readonly<Record<string, { code: string; message: string; hint: string }>> = {
    EADDRINUSE: {
      code: 'port_in_use',
      message: `Another program, perhaps another Millrace, listens on port ${port} of ${host}.`,
      hint: `"lsof -i :${port}" shows which one: stop it, or take another port with server.port (MILLRACE_SERVER_PORT).`,
    },
    EACCES: {
      code: 'port_not_allowed',
      message: `This user may not listen on port ${port}.`,
      hint: 'Take a port above 1023 with server.port (MILLRACE_SERVER_PORT).',
    },
  }
  const known = found[errorCode(error) ?? '']
  if (known) return new InvalidInput({ ...known, cause: error })
  return new InvalidInput({
    code: 'host_unknown',
    message: `The server cannot listen on ${host}: ${errorMessage(error)}.`,
    hint: 'server.host is an address of this machine, such as 127.0.0.1 or 0.0.0.0.',
    cause: error,
  })
}
