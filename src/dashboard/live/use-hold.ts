import { useRef } from 'preact/hooks'
import type { Item } from './use-channel.ts'

/** While held, what was shown stays; `waiting` counts what has come since. */
export function useHold(items: readonly Item[], held: boolean): { shown: readonly Item[]; waiting: number } {
  const kept = useRef(items)
  if (!held) kept.current = items
  const shown = kept.current
  const newest = shown[0]
  const place = newest === undefined ? -1 : items.findIndex(({ id }) => id === newest.id)
  return { shown, waiting: place === -1 ? items.length : place }
}
