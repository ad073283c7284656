/** What the client needs of a WebSocket: that of browsers and Node 22, or the `ws` package. */
export interface WebSocketLike {
  send(data: string): void
  close(code?: number): void
  addEventListener(type: 'open' | 'error', listener: () => void): void
  addEventListener(type: 'message', listener: (event: { data: unknown }) => void): void
  addEventListener(type: 'close', listener: (event: { code: number; reason: string }) => void): void
}

export type WebSocketConstructor = new (url: string, protocols: string) => WebSocketLike

/** The given one, the platform's, or (Node 20) that of the package `ws` where it is installed. */
export async function findWebSocket(
  given: WebSocketConstructor | undefined,
): Promise<WebSocketConstructor | undefined> {
  if (given) return given
  if (isConstructor(globalThis.WebSocket)) return globalThis.WebSocket
  // The name is computed, so that a bundler for browsers does not look for it.
  const name = ['w', 's'].join('')
  const found: unknown = await import(/* @vite-ignore */ name).catch(() => undefined)
  return hasConstructor(found) ? found.WebSocket : undefined
}

function isConstructor(value: unknown): value is WebSocketConstructor {
  return typeof value === 'function'
}

function hasConstructor(value: unknown): value is { WebSocket: WebSocketConstructor } {
  return typeof value === 'object' && value !== null && 'WebSocket' in value && isConstructor(value.WebSocket)
}
