import { setImmediate as turn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { Fatal } from '../../../src/core/errors.ts'
import { Counting } from '../../../src/embedding/local/counting.ts'
import type { TokenizerJob } from '../../../src/embedding/local/tokenizing.ts'

const { signal } = new AbortController()

it('rejects a part that a thread gives back when nothing is counted any more', async () => {
  const counting = new Counting(undefined)
  const jobs: TokenizerJob[] = []
  const counts = ['a', 'b'].map((text) => counting.count([text], signal, () => {}))
  await turn()
  counting.send({ run: (job) => jobs.push(job) })
  counting.failAll(new Fatal({ code: 'model_unusable', message: 'it is broken' }))
  const [returned, failed] = jobs
  returned?.returned()
  failed?.failed('its thread ended')
  for (const each of counts) await expect(each).rejects.toThrow('it is broken')
})

it('counts long texts in pieces, so that nobody waits for the whole of one', async () => {
  const texts = ['a b', 'word '.repeat(10_000), 'x'.repeat(40_000), '', ' '.repeat(40_000)]
  const counting = new Counting(undefined)
  const counts = counting.count(texts, signal, () => {})
  const seen: string[] = []
  await turn()
  // Its tokens are the words.
  const run = ({ task, done }: TokenizerJob) => {
    expect(task.texts.reduce((sum, text) => sum + text.length, 0)).toBeLessThanOrEqual(16_384)
    seen.push(...task.texts)
    done(Int32Array.from(task.texts, (text) => text.split(/\s+/).filter((word) => word !== '').length))
  }
  for (let left = 20; left > 0; left--) counting.send({ run })
  expect(await counts).toEqual([2, 10_000, 3, 0, 0])
  expect(seen.join('')).toBe(texts.join(''))
})
