import { expect, it, onTestFinished } from 'vitest'
import type { Fatal } from '../../../src/core/errors.ts'
import type { TokenizerAnswer, TokenizerTask } from '../../../src/embedding/local/messages.ts'
import { Pool, type PoolOptions } from '../../../src/embedding/local/pool.ts'
import { readModel } from '../../../src/embedding/models/model.ts'
import { tinyModel } from '../models/tiny-model.ts'

async function openPool(options: Partial<PoolOptions> = {}): Promise<Pool<TokenizerTask, TokenizerAnswer>> {
  const model = await readModel(await tinyModel())
  const nothing = { room() {}, fatal() {}, warn: undefined }
  const pool = new Pool<TokenizerTask, TokenizerAnswer>({
    file: '#tokenizer-worker',
    model,
    size: 2,
    ...nothing,
    ...options,
  })
  onTestFinished(() => pool.close())
  return pool
}

type Ended = { done: number[] } | { failed: string } | 'returned'

/** Gives the pool's first thread a task: counting this text. */
function count(pool: Pool<TokenizerTask, TokenizerAnswer>, text: string, crash = false): Promise<Ended> {
  return new Promise((resolve) => {
    pool.all[0]?.run({
      task: { want: 'counts', texts: [text], crash },
      transfer: [],
      urgent: false,
      done: (counts) => resolve({ done: [...counts] }),
      failed: (message) => resolve({ failed: message }),
      returned: () => resolve('returned'),
    })
  })
}

it('takes jobs while its first thread still loads', async () => {
  const pool = await openPool()
  expect(pool.ready).toEqual([])
  expect(await count(pool, 'w7 w8')).toEqual({ done: [2] })
  expect([pool.threads, pool.ready.length, pool.restarts]).toEqual([1, 1, 0])
})

it('starts as many threads as there is work for, and no more than it may', async () => {
  const pool = await openPool()
  pool.grow(1)
  expect(pool.threads).toBe(1)
  pool.grow(2)
  expect(pool.threads).toBe(2)
  pool.grow(9)
  expect(pool.threads).toBe(2)
  await expect.poll(() => pool.ready.length).toBe(2)
})

it('says which job ran when a thread ended; those behind it had not begun', async () => {
  const pool = await openPool()
  const ends = await Promise.all([count(pool, 'w7'), count(pool, 'w8', true), count(pool, 'w9'), count(pool, 'w10')])
  expect(ends).toEqual([{ done: [1] }, { failed: expect.stringContaining('exit code 1') }, 'returned', 'returned'])
  expect(await count(pool, 'w9')).toEqual({ done: [1] })
  expect([pool.threads, pool.restarts]).toEqual([1, 1])
})

it('replaces a thread that ends while it is idle, at once', async () => {
  const warnings: unknown[] = []
  const pool = await openPool({ warn: (message) => warnings.push(message) })
  await count(pool, 'w7')
  await pool.all[0]?.terminate()
  await expect.poll(() => pool.ready.length).toBe(1)
  expect(await count(pool, 'w7')).toEqual({ done: [1] })
  expect([pool.restarts, warnings.length]).toEqual([1, 1])
})

it('gives up when threads end again and again before they have done anything', async () => {
  const fatals: Fatal[] = []
  const pool = await openPool({ fatal: (error) => fatals.push(error) })
  for (let n = 1; n <= 3; n++) {
    expect(fatals).toEqual([])
    await pool.all[0]?.terminate()
  }
  expect(fatals).toMatchObject([{ code: 'model_unusable', message: expect.stringContaining('enough memory') }])
})

it('gives up at once on a model that cannot be loaded', async () => {
  const model = await readModel(await tinyModel())
  const fatal = await new Promise<Fatal>((resolve) => {
    const broken = { ...model, tokenizer: { ...model.tokenizer, sha256: '0'.repeat(64) } }
    void openPool({ model: broken, fatal: resolve })
  })
  expect(fatal).toMatchObject({ code: 'model_unusable' })
})

it('is closed once what still loads is loaded: stopped by force in the midst, it could take the process with it', async () => {
  let ready = 0
  const pool = await openPool({
    room: () => {
      ready++
    },
  })
  expect(pool.ready).toEqual([])
  await pool.close()
  expect(ready).toBe(1)
})
