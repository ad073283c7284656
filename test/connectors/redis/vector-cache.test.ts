import { afterEach, describe, expect, test } from 'vitest'
import { openRedis, type RedisServices, type VectorCacheOptions } from '../../../connectors/redis/index.ts'
import { openEmbedder } from '../../processors/embedder.ts'
import { redisMissing, startRedis } from '../../services/redis.ts'

const missing = await redisMissing()

describe.skipIf(missing !== undefined)('embeddings in Redis', () => {
  const opened: RedisServices[] = []
  afterEach(async () => {
    for (const redis of opened.splice(0)) await redis.close()
  })
  const open = (url: string, vectors: VectorCacheOptions = {}) => {
    const redis = openRedis({ url }, { vectors })
    opened.push(redis)
    return redis.vectors
  }

  test('come back bit by bit in another process, for their time', async () => {
    await using server = await startRedis({ settings: { appendonly: 'no' } })
    const cache = open(server.url, { timeoutMs: 2_000, keepMs: 3_000 })
    const vectors = Array.from({ length: 600 }, (_, index) => Float32Array.of(index, -0, 0.1, 1e-45))
    for (const [index, vector] of vectors.entries()) cache.set(`k${index}`, vector)
    const keys = vectors.map((_, index) => `k${index}`)
    // What is not stored yet is known here all the same.
    expect((await cache.get(['k5', 'none'])).map((vector) => vector?.[0])).toEqual([5, undefined])
    await cache.close()
    const other = open(server.url, { timeoutMs: 2_000 })
    expect(await other.get(keys)).toEqual(vectors)
    await expect.poll(() => other.get(['k1']), { timeout: 10_000 }).toEqual([undefined])
  })

  test('are computed by one process only', async () => {
    await using server = await startRedis({ settings: { appendonly: 'no' } })
    const texts = ['a refund', 'an invoice', 'a refund']
    const first = await openEmbedder({ shared: open(server.url, { timeoutMs: 2_000 }) })
    const vectors = await first.embed(texts)
    expect(first.stats()).toMatchObject({ computed: 2, sharedHits: 0 })
    await first.close()
    const second = await openEmbedder({ shared: open(server.url, { timeoutMs: 2_000 }) })
    expect(await second.embed(texts)).toEqual(vectors)
    expect(await second.embed(texts)).toEqual(vectors)
    expect(second.stats()).toMatchObject({ computed: 0, sharedHits: 2, memoryHits: 4 })
    await second.close()
  }, 30_000)

  test('of a server that hangs are waited for once in a while only', { timeout: 30_000 }, async () => {
    await using server = await startRedis({ settings: { appendonly: 'no' } })
    const cache = open(server.url, { timeoutMs: 100, pauseMs: 3_000 })
    await expect.poll(() => cache.get(['k'])).toEqual([undefined])
    await new Promise((resolve) => setTimeout(resolve, 3_100))
    cache.set('k', Float32Array.of(1))
    await cache.close()
    server.pause()
    const first = await timed(() => cache.get(['k']))
    expect(first).toBeGreaterThan(80)
    const rest = await timed(async () => {
      for (let n = 0; n < 100; n++) expect(await cache.get(['k'])).toEqual([undefined])
      cache.set('other', Float32Array.of(2))
    })
    expect(rest).toBeLessThan(2_000)
    server.resume()
    await expect.poll(() => cache.get(['k']), { timeout: 10_000 }).toEqual([Float32Array.of(1)])
  })

  test('that cannot be had cost nothing but their computation', async () => {
    const cache = open('redis://127.0.0.1:1')
    const embedder = await openEmbedder({ shared: cache })
    expect((await embedder.embed(['a text']))[0]).toHaveLength(embedder.dimension)
    expect(embedder.stats()).toMatchObject({ computed: 1, sharedHits: 0 })
    await embedder.close()
  }, 30_000)
})

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}
