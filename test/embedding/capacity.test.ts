import { expect, it } from 'vitest'
import { Capacity } from '../../src/embedding/capacity.ts'

const never = new AbortController().signal

it('lets in as much as fits, and the others in the order of asking', async () => {
  const capacity = new Capacity(3, 100)
  const entered: string[] = []
  const ask = (name: string, size: number) => capacity.enter(size, never).then(() => entered.push(name))
  await Promise.all([ask('a', 40), ask('b', 40)])
  const waiting = [ask('large', 80), ask('small', 1)]
  expect(capacity.tryEnter(1)).toBe(false)
  await Promise.resolve()
  expect(entered).toEqual(['a', 'b'])
  expect(capacity.waiting).toBe(2)
  capacity.leave(40)
  capacity.leave(40)
  await Promise.all(waiting)
  expect(entered).toEqual(['a', 'b', 'large', 'small'])
  expect([capacity.texts, capacity.waiting]).toEqual([2, 0])
})

it('lets in something larger than the bound, alone', async () => {
  const capacity = new Capacity(3, 100)
  await capacity.enter(500, never)
  expect(capacity.tryEnter(1)).toBe(false)
  capacity.leave(500)
  expect(capacity.tryEnter(1)).toBe(true)
})

it('forgets who gives up, and lets in those behind', async () => {
  const capacity = new Capacity(9, 100)
  await capacity.enter(60, never)
  const caller = new AbortController()
  const given = capacity.enter(80, caller.signal)
  const behind = capacity.enter(30, never)
  caller.abort(new Error('given up'))
  await expect(given).rejects.toThrow('given up')
  await behind
  await expect(capacity.enter(80, caller.signal)).rejects.toThrow('given up')
  expect([capacity.texts, capacity.waiting]).toEqual([2, 0])
})
