import { distance } from 'fastest-levenshtein'

/** The known name that a misspelt one most likely means, or undefined if none is near. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    // It is at least as far as one is longer than the other; names come from clients, and may have millions of characters.
    if (Math.abs(candidate.length - name.length) >= least) continue
    const far = distance(name.toLowerCase(), candidate.toLowerCase())
    if (far < least) {
      best = candidate
      least = far
    }
  }
  return best
}

/** `, did you mean "x"?`, or nothing: to be put at the end of a message about an unknown name. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const nearest = nearestName(name, known)
  return nearest === undefined ? '' : `, did you mean "${nearest}"?`
}
