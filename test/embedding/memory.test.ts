import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import type { MemorySample } from '../bench/embed-steadily.ts'

const program = resolve(import.meta.dirname, '../../dist/test/bench/embed-steadily.js')

/** The median of a part of the samples, so that one that fell into a collection counts for nothing. */
function median(samples: readonly MemorySample[], from: number, to: number, of: keyof MemorySample): number {
  const part = samples.slice(Math.floor(from * samples.length), Math.floor(to * samples.length))
  const values = part.map((sample) => sample[of]).sort((a, b) => a - b)
  return values[values.length >> 1] ?? Number.NaN
}

// The caches of the program are full soon. From then on a text that was embedded leaves nothing behind.
it('memory does not grow with the texts that were embedded', { timeout: 120_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', program, '20', '10'])
  const samples: MemorySample[] = JSON.parse(stdout)
  const growth = (of: keyof MemorySample) => median(samples, 0.75, 1, of) - median(samples, 0.4, 0.6, of)
  const texts = growth('texts')
  expect(texts).toBeGreaterThan(100)
  // Megabytes: what a collection may leave, and less than the smallest object that a text could leave with its text.
  expect(growth('heap')).toBeLessThan(1 + (texts * 200) / 2 ** 20)
  expect(growth('anonymous')).toBeLessThan(0.25 * median(samples, 0.4, 0.6, 'anonymous'))
})
