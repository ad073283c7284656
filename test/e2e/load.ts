import { readFile } from 'node:fs/promises'
import { expect } from 'vitest'
import { z } from 'zod'
import { call, pipelineStatus, sleep, until } from '../support/api.ts'
import type { RunningCli } from '../support/cli.ts'

/** The text of an event of some 14 kB, so that what is kept in memory shows. */
export const text = 'a parcel that is on its way '.repeat(500)
/** Events of that size over which memory is compared, and how often: allocators take long to have what they need. */
const measured = 4_500
const comparisons = 6
const tolerated = (measured * text.length) / 2
const fallingBehindMs = 120_000
const readiness = z.object({ ready: z.boolean(), reasons: z.array(z.string()) })

/** Publishes until it is stopped, which answers how many events were accepted: all of them. */
export function publish(address: string, topic: string, event: (id: number) => unknown) {
  const over = new AbortController()
  let next = 0
  const publishing = (async () => {
    while (!over.signal.aborted) {
      const body = JSON.stringify(Array.from({ length: 50 }, () => event(next++)))
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(`${address}/v1/topics/${topic}/events`, { method: 'POST', headers, body })
      expect(response.status, await response.text()).toBe(200)
      await sleep(20)
    }
  })()
  publishing.catch(() => undefined)
  const stop = async () => {
    over.abort()
    await publishing
    return next
  }
  return { stop, [Symbol.asyncDispose]: async () => void (await stop().catch(() => undefined)) }
}

/** While one of its stores is down, a pipeline says so and falls behind, and the memory of its process does not grow. */
export async function expectItHoldsBack(server: RunningCli, pipeline: string, why: RegExp): Promise<void> {
  const status = () => call(`${server.address}/v1/pipelines/${pipeline}`, pipelineStatus)
  await until(async () => (await status()).state === 'degraded')
  expect((await status()).reason).toMatch(why)
  const { ready, reasons } = await call(`${server.address}/readyz`, readiness)
  expect(ready).toBe(true)
  expect(reasons).toEqual([expect.stringMatching(new RegExp(`^pipeline ${pipeline} is degraded: .*${why.source}`))])

  // What is kept would be kept each time, so one comparison that finds no growth is enough.
  const grown: number[] = []
  for (let lag = (await status()).lag; grown.length < comparisons && grown.every((bytes) => bytes >= tolerated); ) {
    const memory = await memoryOf(server.pid)
    lag += measured
    await until(async () => (await status()).lag > lag, fallingBehindMs)
    grown.push((await memoryOf(server.pid)) - memory)
  }
  expect((await status()).state).toBe('degraded')
  expect(Math.min(...grown), `growth: ${grown.join(', ')}`).toBeLessThan(tolerated)
}

/** Bytes of memory that is the process's own, which a mapped file is not. */
async function memoryOf(pid: number): Promise<number> {
  const found = /^RssAnon:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))
  return Number(found?.[1]) * 1024
}
