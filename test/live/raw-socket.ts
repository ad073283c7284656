import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import type { Socket } from 'node:net'

/** A WebSocket of which every byte is the test's own. */
export async function rawSocket(address: string, token: string): Promise<Socket> {
  const upgrade = request(`${address}/v1/live?token=${token}`, {
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-protocol': 'millrace.v1',
      'sec-websocket-key': randomBytes(16).toString('base64'),
    },
  })
  upgrade.end()
  const socket = await new Promise<Socket>((resolve, reject) => {
    upgrade.on('upgrade', (_response, connection) => resolve(connection))
    upgrade.on('response', ({ statusCode }) => reject(new Error(`refused with ${statusCode}`)))
    upgrade.on('error', reject)
  })
  socket.on('error', () => undefined)
  return socket
}

/** A masked frame; `length` is what its header says, if that is not the payload's. */
export function frame(opcode: number, payload: Buffer, { final = true, length = payload.length } = {}): Buffer {
  const header = Buffer.alloc(14)
  header[0] = (final ? 0x80 : 0) | opcode
  header[1] = 0x80 | 127
  header.writeBigUInt64BE(BigInt(length), 2)
  // The mask is zero, so the payload stands as it is.
  return Buffer.concat([header, payload])
}

/** The code of the close frame that the server sends; frames of other kinds before it are passed over. */
export async function closeCode(socket: Socket): Promise<number | undefined> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  // A reset is an end as well, where the client still wrote when the server had closed.
  await new Promise((resolve) => socket.once('close', resolve))
  const bytes = Buffer.concat(chunks)
  for (let at = 0; at + 1 < bytes.length; ) {
    const short = (bytes[at + 1] ?? 0) & 0x7f
    const [size, header] = short === 126 ? [bytes.readUInt16BE(at + 2), 4] : [short, 2]
    if (((bytes[at] ?? 0) & 0x0f) === 8) return bytes.readUInt16BE(at + header)
    at += header + size
  }
  return undefined
}
