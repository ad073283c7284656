/**
 * Calls them all. As with DOM events, what one throws is reported, and neither the others nor what comes after is lost
 * for it.
 */
export function tell<Given extends readonly unknown[]>(
  listeners: Iterable<(...given: Given) => void>,
  ...given: Given
): void {
  for (const listener of [...listeners]) {
    try {
      listener(...given)
    } catch (error) {
      queueMicrotask(() => {
        throw error
      })
    }
  }
}
