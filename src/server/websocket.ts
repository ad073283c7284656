import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { NotFound } from '../core/errors.ts'
import { type Caller, protocolName, type Session } from '../live/index.ts'
import type { GatewayContext } from './context.ts'
import { admit } from './guard.ts'
import { KeepAlive } from './keep-alive.ts'
import { type Problem, toProblem } from './problem.ts'
import { upgradeVisitor } from './visitor.ts'
import { acceptableOffers, deflateOptions, WebSocketTransport } from './websocket-transport.ts'

type Context = Pick<GatewayContext, 'live' | 'access' | 'origins' | 'audit' | 'log' | 'limits'>

/**
 * Adds the live WebSocket at `/v1/live`. A client whose token is in the request is let in at once; one that gives none
 * has to authenticate with its first message; a wrong one is refused.
 */
export function acceptWebSockets(server: Server, context: Context): { close(): void } {
  const sockets = new WebSocketServer({
    noServer: true,
    // Of what a client has deflated too: more than this is not inflated.
    maxPayload: context.live.limits.frameBytes,
    clientTracking: false,
    perMessageDeflate: deflateOptions,
    handleProtocols: (offered) => (offered.has(protocolName) ? protocolName : false),
  })
  const keepAlive = new KeepAlive(context.live.limits.heartbeatMs)
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    void callerOf(request, context).then(
      (caller) => {
        chooseExtensions(request)
        sockets.handleUpgrade(request, socket, head, (client) => {
          keepAlive.add(client, serve(client, new WebSocketTransport(client, socket), context, caller))
        })
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

/** Throws what the request is refused for. */
async function callerOf(request: IncomingMessage, context: Context): Promise<Caller> {
  const [path] = (request.url ?? '').split('?', 1)
  if (path !== '/v1/live') throw new NotFound({ code: 'route_not_found', message: 'The WebSocket is at /v1/live.' })
  const visitor = upgradeVisitor(request)
  return { principal: await admit(visitor, context), address: visitor.address }
}

function refuse(socket: Duplex, problem: Problem): void {
  const body = JSON.stringify(problem)
  // Otherwise a client that does not hang up would keep the connection, and the server from closing.
  socket.once('finish', () => socket.destroy())
  socket.end(
    `HTTP/1.1 ${problem.status} ${problem.title}\r\nContent-Type: application/problem+json\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

function chooseExtensions({ headers }: IncomingMessage): void {
  const offers = headers['sec-websocket-extensions']
  if (offers !== undefined) headers['sec-websocket-extensions'] = acceptableOffers(offers)
}

function serve(client: WebSocket, transport: WebSocketTransport, { live }: Context, caller: Caller): Session {
  const session = live.open(transport, caller, transport.encoding)
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
