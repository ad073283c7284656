import { Fatal, type Rejection } from './errors.ts'

/** A store says that what it was asked can never be done. Of one point in a write, that is a rejection. */
export class Refused extends Fatal {}

/** Something to be written, and its index in what was handed in. */
export interface Indexed {
  readonly index: number
}

export interface RequestLimits<Item> {
  readonly items: number
  readonly size: number
  /** What an item adds to the size of a request. */
  readonly sizeOf: (item: Item) => number
}

/** Cuts what is written into requests that a store takes. An item that is too large by itself makes one alone. */
export function requests<Item>(items: Iterable<Item>, limits: RequestLimits<Item>): Item[][] {
  const parts: Item[][] = []
  let size = 0
  for (const item of items) {
    const own = limits.sizeOf(item)
    const part = parts.at(-1)
    if (part === undefined || part.length >= limits.items || size + own > limits.size) {
      parts.push([item])
      size = own
    } else {
      part.push(item)
      size += own
    }
  }
  return parts
}

/**
 * Writes items as one request. Where it is `Refused`, the halves are tried, down to the item that is to blame, which is
 * answered; any other error is thrown.
 */
export async function writeApart<Item extends Indexed>(
  items: readonly Item[],
  write: (items: readonly Item[]) => Promise<unknown>,
): Promise<Rejection[]> {
  try {
    await write(items)
    return []
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    const [first] = items
    if (items.length === 1 && first !== undefined) {
      return [{ index: first.index, code: 'refused', message: error.message }]
    }
    const middle = Math.ceil(items.length / 2)
    return [...(await writeApart(items.slice(0, middle), write)), ...(await writeApart(items.slice(middle), write))]
  }
}

/** Waits for all, also after one has failed: what is still on its way must not arrive after a later change of the same ids. */
export async function allDone<Result>(work: readonly (Result | Promise<Result>)[]): Promise<Result[]> {
  await Promise.allSettled(work)
  return Promise.all(work)
}
