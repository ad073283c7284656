import { connect, createServer, type Socket } from 'node:net'

/** Stands between a page and its server, so that the network between them can fail. */
export interface TcpProxy extends AsyncDisposable {
  readonly address: string
  /** Breaks every connection; until `heal` there are no new ones. */
  cut(): void
  heal(): void
  /** How many connections have been made. */
  readonly connections: number
}

export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let broken = false
  let connections = 0
  const server = createServer((inner) => {
    if (broken) {
      inner.destroy()
      return
    }
    connections++
    const outer = connect(Number(port), hostname)
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
      socket.pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  const address = `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`
  const cut = () => {
    broken = true
    for (const socket of sockets) socket.destroy()
  }
  return {
    address,
    cut,
    heal: () => {
      broken = false
    },
    get connections() {
      return connections
    },
    async [Symbol.asyncDispose]() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
