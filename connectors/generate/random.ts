/** Numbers from 0 up to, but without, 1. */
export type Random = () => number

/**
 * Random numbers that follow from a seed and an index alone, so that the event of an index is the same in every run.
 * The generator is Mulberry32 by Tommy Ettinger; the index is spread by the finaliser of MurmurHash3.
 */
export function randomFor(seed: number, index: number): Random {
  let state = mix(mix(seed >>> 0) ^ mix((index % 2 ** 32) >>> 0) ^ Math.floor(index / 2 ** 32))
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let bits = Math.imul(state ^ (state >>> 15), 1 | state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
}

function mix(value: number): number {
  let bits = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return bits ^ (bits >>> 16)
}
