/** What browsers and workers tell of themselves, and other platforms do not. */

/** Whether the platform knows that it has no network. */
export function isOffline(): boolean {
  const platform: object = globalThis
  return hasNavigator(platform) && platform.navigator.onLine === false
}

/** Answers what ends the listening. */
export function onPlatform(type: 'online' | 'offline' | 'pagehide', listener: () => void): () => void {
  const platform: object = globalThis
  if (!hasEvents(platform)) return () => undefined
  platform.addEventListener(type, listener)
  return () => platform.removeEventListener(type, listener)
}

interface Events {
  addEventListener(type: string, listener: () => void): void
  removeEventListener(type: string, listener: () => void): void
}

function hasEvents(platform: object): platform is Events {
  return 'addEventListener' in platform && 'removeEventListener' in platform
}

function hasNavigator(platform: object): platform is { readonly navigator: { readonly onLine?: unknown } } {
  return 'navigator' in platform && typeof platform.navigator === 'object' && platform.navigator !== null
}
