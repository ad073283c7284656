import { useCallback, useSyncExternalStore } from 'react'
import type { ConnectionState } from '../client/index.ts'
import { useMillrace } from './provider.ts'

/** How the live connection stands, such as for a badge that says "offline". */
export function useConnection(): ConnectionState {
  const client = useMillrace()
  const follow = useCallback((changed: () => void) => client.onState(changed), [client])
  return useSyncExternalStore(
    follow,
    () => client.state,
    () => 'idle',
  )
}
