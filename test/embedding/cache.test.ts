import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { DiskCache, type DiskCacheOptions } from '../../src/embedding/disk-cache.ts'
import { MemoryCache } from '../../src/embedding/memory-cache.ts'
import { temporaryFolder } from './support.ts'

const dimension = 32
const vector = (n: number) => new Float32Array(dimension).fill(n)

async function openDisk(options: Partial<DiskCacheOptions> & { folder: string }): Promise<DiskCache> {
  const cache = await DiskCache.open({ maxBytes: 2 ** 30, dimension, ...options })
  if (cache === undefined) throw new Error('the cache was not opened')
  onTestFinished(() => cache.close())
  return cache
}

it('memory keeps what was used last', () => {
  const cache = new MemoryCache(3 * (dimension * 4 + 300), dimension)
  for (const [index, key] of ['a', 'b', 'c'].entries()) cache.set(key, vector(index))
  expect(cache.get('a')).toEqual(vector(0))
  cache.set('d', vector(3))
  expect(['a', 'b', 'c', 'd'].map((key) => cache.get(key)?.[0])).toEqual([0, undefined, 2, 3])
  expect(cache.size).toBe(3)
})

it('memory of no bytes keeps nothing', () => {
  const cache = new MemoryCache(0, dimension)
  cache.set('a', vector(1))
  expect(cache.get('a')).toBeUndefined()
})

it('disk keeps what is used, and no more than it may', async () => {
  const folder = await temporaryFolder()
  const maxBytes = 2 * 1_000 * (dimension * 4 + 700)
  const cache = await openDisk({ folder, maxBytes })
  cache.set('used', vector(7))
  for (let round = 0; round < 10; round++) {
    for (let n = 0; n < 600; n++) cache.set(`${round}/${n}`, vector(n))
    await cache.settled()
    expect(cache.get('used')).toEqual(vector(7))
  }
  expect(cache.get('9/599')).toEqual(vector(599))
  expect(cache.get('0/0')).toBeUndefined()
  expect(cache.size).toBeLessThanOrEqual(3_100)
})

it('disk is shared by those that have it open, and hands out vectors of their own', async () => {
  const folder = await temporaryFolder()
  const cache = await openDisk({ folder })
  cache.set('a', vector(1))
  await cache.settled()
  const found = cache.get('a')
  found?.fill(9)
  expect(cache.get('a')).toEqual(vector(1))
})

it('does not give out what has another dimension', async () => {
  const folder = await temporaryFolder()
  const cache = await openDisk({ folder })
  cache.set('a', new Float32Array(3))
  await cache.settled()
  expect(cache.get('a')).toBeUndefined()
})

it('a disk that cannot be used is told once, and done without', async () => {
  const folder = await temporaryFolder()
  await mkdir(join(folder, 'sub'))
  await writeFile(join(folder, 'sub/file'), '')
  const warnings: unknown[] = []
  const cache = await DiskCache.open({
    folder: join(folder, 'sub/file/below'),
    maxBytes: 1e6,
    dimension,
    warn: (message) => warnings.push(message),
  })
  expect(cache).toBeUndefined()
  expect(warnings).toEqual([expect.stringContaining('not kept on disk')])
})
