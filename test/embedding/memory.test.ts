import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import type { MemorySample } from '../bench/embed-steadily.ts'

const program = resolve(import.meta.dirname, '../../dist/test/bench/embed-steadily.js')

/** The median of a part of the samples, so that one that fell into a collection counts for nothing. */
function median(samples: readonly MemorySample[], from: number, to: number, of: 'anonymous' | 'heap'): number {
  const part = samples.slice(Math.floor(from * samples.length), Math.floor(to * samples.length))
  const values = part.map((sample) => sample[of]).sort((a, b) => a - b)
  return values[values.length >> 1] ?? Number.NaN
}

// The caches of the program are full soon. From then on each text that is embedded leaves nothing behind.
it('memory does not grow with the texts that were embedded', { timeout: 120_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', program, '20'])
  const samples: MemorySample[] = JSON.parse(stdout)
  const texts = (samples.at(-1)?.texts ?? 0) - (samples[samples.length >> 1]?.texts ?? 0)
  expect(texts).toBeGreaterThan(100)
  expect(median(samples, 0.75, 1, 'heap')).toBeLessThan(median(samples, 0.4, 0.6, 'heap') + 5)
  expect(median(samples, 0.75, 1, 'anonymous')).toBeLessThan(median(samples, 0.4, 0.6, 'anonymous') * 1.25)
})
