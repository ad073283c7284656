import { expect, it } from 'vitest'
import { Fatal } from '../../../src/core/errors.ts'
import { Counting } from '../../../src/embedding/local/counting.ts'
import type { TokenizerJob } from '../../../src/embedding/local/tokenizing.ts'

const { signal } = new AbortController()

it('rejects a part that a thread gives back when nothing is counted any more', async () => {
  const counting = new Counting(undefined)
  const jobs: TokenizerJob[] = []
  const counts = ['a', 'b'].map((text) => counting.count([text], signal, () => {}))
  await Promise.resolve()
  counting.send({ run: (job) => jobs.push(job) })
  counting.failAll(new Fatal({ code: 'model_unusable', message: 'it is broken' }))
  const [returned, failed] = jobs
  returned?.returned()
  failed?.failed('its thread ended')
  for (const each of counts) await expect(each).rejects.toThrow('it is broken')
})
