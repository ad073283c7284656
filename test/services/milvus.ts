import { once } from 'node:events'
import { connect } from 'node:http2'
import { join } from 'node:path'
import { artefact, missingArtefact } from './artefacts.ts'
import { freePorts } from './ports.ts'
import { newServerFolder } from './run-folder.ts'
import { type LocalServer, startServer } from './server.ts'

export interface MilvusServer extends LocalServer {
  /** `host:port` */
  readonly address: string
}

export const milvusMissing = (): string | undefined => missingArtefact('python', 'bin', 'milvus-lite')

/** Milvus Lite, which speaks the protocol of Milvus; its collections lie in files and survive its end. */
export async function startMilvus(): Promise<MilvusServer> {
  const [port = 0] = await freePorts(1)
  const folder = newServerFolder('milvus')
  const server = await startServer({
    name: 'milvus',
    folder,
    command: artefact('python', 'bin', 'milvus-lite'),
    args: ['server', '--data-dir', join(folder, 'data'), '--host', '127.0.0.1', '--port', String(port)],
    ask: () => askMilvus(port),
  })
  return { ...server, address: `127.0.0.1:${port}` }
}

/** `GetVersion` by gRPC: an empty message has a frame of five zero bytes. */
export async function askMilvus(port: number): Promise<void> {
  const session = connect(`http://127.0.0.1:${port}`)
  try {
    // A lost connection fails the stream as well.
    session.on('error', () => undefined)
    const stream = session.request({
      ':method': 'POST',
      ':path': '/milvus.proto.milvus.MilvusService/GetVersion',
      'content-type': 'application/grpc',
      te: 'trailers',
    })
    stream.resume().end(Buffer.alloc(5))
    const [trailers] = await once(stream, 'trailers', { signal: AbortSignal.timeout(2_000) })
    if (trailers['grpc-status'] !== '0') throw new Error(`gRPC status ${trailers['grpc-status']}`)
  } finally {
    session.destroy()
  }
}
