import { createServer, type Server } from 'node:net'

/**
 * Ports of 127.0.0.1 that nobody listens on. They lie below the range from which systems take ports for outgoing
 * connections, so that a server finds its port free when it is started again.
 */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = []
  const ports: number[] = []
  while (ports.length < count) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const server = await listen(port)
    if (server === undefined) continue
    held.push(server)
    ports.push(port)
  }
  await Promise.all(held.map((server) => new Promise<void>((closed) => server.close(() => closed()))))
  return ports
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise((settle) => {
    const server = createServer()
    server.once('error', () => settle(undefined))
    server.listen(port, '127.0.0.1', () => settle(server))
  })
}
