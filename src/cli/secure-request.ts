import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { connect } from 'node:tls'
import { InvalidInput } from '../core/errors.ts'

/** PEM files for talking to a server by TLS. */
export interface SecureFiles {
  /** The certificate that the server has, whatever name it is asked by. Left out: one that Node trusts. */
  readonly server?: string | undefined
  /** What this side shows, with its key. */
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/** `fetch`, which knows no certificates of clients, for https. */
export async function secureRequest(url: URL, init: RequestInit, files: SecureFiles): Promise<Response> {
  const [server, cert, key] = await Promise.all([read(files.server), read(files.cert), read(files.key)])
  const shown = { ...(cert && { cert }), ...(key && { key }) }
  const socket = server && (await connectTo(url, new X509Certificate(server), shown))
  const asked = new Request(url, init)
  const sent = request(url, {
    ...shown,
    method: asked.method,
    headers: Object.fromEntries(asked.headers),
    signal: asked.signal,
    // An agent would make a connection of its own.
    ...(socket ? { createConnection: () => socket } : { agent: false }),
  })
  sent.end(new Uint8Array(await asked.arrayBuffer()))
  const [response]: IncomingMessage[] = await once(sent, 'response')
  if (response === undefined) throw new Error('the server did not answer')
  return answerOf(response)
}

/** Nothing is sent before it is known that the server is the one whose certificate that is. */
async function connectTo(url: URL, certificate: X509Certificate, shown: { cert?: Buffer; key?: Buffer }) {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const socket = connect({ ...shown, host, port: Number(url.port || 443), rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  if (socket.getPeerX509Certificate()?.fingerprint256 === certificate.fingerprint256) return socket
  socket.destroy()
  throw new Error('its certificate is another than that in server.tls.cert')
}

async function read(file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined
  return readFile(file).catch((cause: unknown) => {
    throw new InvalidInput({ code: 'certificate_unusable', message: `${file} cannot be read`, cause })
  })
}

function answerOf(response: IncomingMessage): Response {
  const headers = new Headers()
  for (const [name, value] of Object.entries(response.headers))
    for (const each of [value ?? []].flat()) headers.append(name, each)
  const { statusCode: status = 500, statusMessage: statusText = '' } = response
  const isEmpty = status === 204 || status === 304
  return new Response(isEmpty ? null : streamOf(response), { status, statusText, headers })
}

function streamOf(response: IncomingMessage): ReadableStream<Uint8Array> {
  const chunks: AsyncIterator<Uint8Array> = response[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await chunks.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel() {
      response.destroy()
    },
  })
}
