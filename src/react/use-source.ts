import { useMemo, useSyncExternalStore } from 'react'
import { useMillrace } from './provider.ts'
import type { Sources } from './shared.ts'

/** What there is to see of a request. It counts by value, so it may be written inline; `undefined` asks for nothing. */
export function useSource<Request extends object, View>(
  sources: Sources<Request, View>,
  request: Request | undefined,
): View {
  const client = useMillrace()
  const key = request === undefined ? undefined : JSON.stringify(request)
  const { follow, view } = useMemo(() => {
    if (key === undefined) return { follow: () => () => undefined, view: () => sources.nothing }
    return {
      follow: (changed: () => void) => sources.follow(client, key, changed),
      view: () => sources.view(client, key),
    }
  }, [sources, client, key])
  return useSyncExternalStore(follow, view, () => sources.nothing)
}
