import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { unrestricted } from '../core/principal.ts'
import { closeCodes, protocolName, type Session, type Transport } from '../live/index.ts'
import type { GatewayContext } from './context.ts'
import { bearerToken, judge, refusal } from './guard.ts'
import { type Problem, toProblem } from './problem.ts'

type Context = Pick<GatewayContext, 'live' | 'auth' | 'log' | 'limits'>

/**
 * Adds the live WebSocket at `/v1/live`. A client whose token is in the request is let in at once; one that gives none
 * has to authenticate with its first message; a wrong one is refused.
 */
export function acceptWebSockets(server: Server, context: Context): { close(): void } {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: context.limits.bodyBytes,
    clientTracking: true,
    handleProtocols: (offered) => (offered.has(protocolName) ? protocolName : false),
  })
  const keepAlive = new KeepAlive(context.live.limits.heartbeatMs)
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    void admit(request, context).then(
      (admitted) => {
        if (typeof admitted !== 'boolean') return refuse(socket, admitted)
        sockets.handleUpgrade(request, socket, head, (client) => {
          keepAlive.add(client, serve(client, context, admitted))
        })
        return undefined
      },
      (error: unknown) => refuse(socket, toProblem(error)),
    )
  })
  return {
    close() {
      keepAlive.close()
      sockets.close()
    },
  }
}

/** Whether the client is authenticated already, or why it is refused. */
async function admit(request: IncomingMessage, { auth }: Context): Promise<boolean | Problem> {
  const [path, query] = (request.url ?? '').split('?', 2)
  if (path !== '/v1/live') {
    return { title: 'Not Found', status: 404, code: 'route_not_found', detail: 'The WebSocket is at /v1/live.' }
  }
  const { host, origin, authorization } = request.headers
  const token = bearerToken(authorization) ?? new URLSearchParams(query).get('token') ?? undefined
  if (auth !== undefined && token === undefined) return false
  const verdict = await judge({ host, origin, token }, auth?.token)
  return verdict === 'allowed' ? true : toProblem(refusal(verdict))
}

function refuse(socket: Duplex, problem: Problem): void {
  const body = JSON.stringify(problem)
  // Otherwise a client that does not hang up would keep the connection, and the server from closing.
  socket.once('finish', () => socket.destroy())
  socket.end(
    `HTTP/1.1 ${problem.status} ${problem.title}\r\nContent-Type: application/problem+json\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

function serve(client: WebSocket, { live }: Context, authenticated: boolean): Session {
  const session = live.open(transportOf(client), { principal: authenticated ? unrestricted('local') : undefined })
  client.on('message', (data, binary) => receive(session, data, binary))
  client.on('close', () => session.disconnected())
  // What broke a connection ends in 'close' as well; without a listener it would end the process.
  client.on('error', () => undefined)
  return session
}

function receive(session: Session, data: unknown, binary: boolean): void {
  if (binary || !Buffer.isBuffer(data)) session.badFrame('Messages are JSON in text frames.')
  else session.receive(data.toString('utf8'))
}

function transportOf(client: WebSocket): Transport {
  return {
    get buffered() {
      return client.bufferedAmount
    },
    send: (frame, taken) => client.send(frame, { binary: false }, taken),
    pause: () => client.pause(),
    resume: () => client.resume(),
    close: (code, reason) => {
      client.close(code, reason)
      // A client that does not answer the close is not waited for.
      setTimeout(() => client.terminate(), 2_000).unref()
    },
  }
}

/** Closes clients from which nothing was heard for a whole interval, not even the answer to a ping. */
class KeepAlive {
  readonly #heard = new WeakSet<WebSocket>()
  readonly #sessions = new Map<WebSocket, Session>()
  readonly #timer: NodeJS.Timeout

  constructor(intervalMs: number) {
    this.#timer = setInterval(() => this.#check(), intervalMs)
    this.#timer.unref()
  }

  add(client: WebSocket, session: Session): void {
    const hear = () => this.#heard.add(client)
    hear()
    this.#sessions.set(client, session)
    client.on('pong', hear)
    client.on('message', hear)
    client.on('close', () => this.#sessions.delete(client))
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #check(): void {
    for (const [client, session] of this.#sessions) {
      // From a client that is paused, for it has asked for much, nothing can be heard.
      if (this.#heard.delete(client) || client.isPaused) client.ping()
      else session.close(closeCodes.timedOut, 'nothing was heard')
    }
  }
}
