import { expect, it } from 'vitest'
import { unlessAborted } from '../../src/core/unless-aborted.ts'

const never = new Promise<never>(() => undefined)

it('answers what the promise does', async () => {
  const { signal } = new AbortController()
  await expect(unlessAborted(Promise.resolve(1), signal)).resolves.toBe(1)
  await expect(unlessAborted(Promise.reject(new Error('broken')), signal)).rejects.toThrow('broken')
})

it('throws the reason of a signal that fires, or has fired, before', async () => {
  const caller = new AbortController()
  const waiting = unlessAborted(never, caller.signal)
  caller.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  await expect(unlessAborted(never, caller.signal)).rejects.toThrow('enough')
})

it('lets a promise fail that nobody waits for any more', async () => {
  const late = Promise.reject(new Error('too late'))
  await expect(unlessAborted(late, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
})
