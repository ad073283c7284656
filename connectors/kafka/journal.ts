import type { Committed } from '../../src/core/event-log.ts'

/**
 * The journal of a lane travels in a committed offset: the offset is `from`, the metadata is `m1:` and the ends of the
 * blocks in flight, each as its distance from the one before (the first from `from`), in base 36, parted by commas.
 */
const mark = 'm1:'

/** `offset.metadata.max.bytes` of a broker, unless someone has set it lower. */
const mostBytes = 4096

/** Ends that do not fit are left out, the last ones first: a replay cuts those blocks anew. */
export function encodeJournal({ from, ends }: Committed): { readonly offset: string; readonly metadata: string } {
  let metadata = mark
  let before = from
  for (const [index, end] of ends.entries()) {
    const next = `${index === 0 ? '' : ','}${(end - before).toString(36)}`
    if (metadata.length + next.length > mostBytes) break
    metadata += next
    before = end
  }
  return { offset: String(from), metadata }
}

/** Whether a commit was made by a lane of ours. */
export function isJournal(metadata: string | null): boolean {
  return metadata?.startsWith(mark) ?? false
}

/** A commit by another program, or one that is damaged, is a position without blocks in flight. */
export function decodeJournal(offset: string | number, metadata: string | null): Committed {
  const from = Number(offset)
  if (metadata === null || !isJournal(metadata)) return { from, ends: [] }
  const ends: number[] = []
  let end = from
  for (const distance of metadata.slice(mark.length).split(',')) {
    if (!/^[0-9a-z]{1,11}$/.test(distance)) return { from, ends: [] }
    const step = Number.parseInt(distance, 36)
    if (step < 1) return { from, ends: [] }
    end += step
    ends.push(end)
  }
  return { from, ends }
}
