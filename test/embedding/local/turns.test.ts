import { expect, it } from 'vitest'
import { mostOvertaking, Turns } from '../../../src/embedding/local/turns.ts'

it('lets what is urgent go first, each kind in its order', () => {
  const turns = new Turns<string>()
  for (const name of ['a', 'B', 'c', 'D']) turns.add(name, name < 'a')
  expect([1, 2, 3, 4, 5].map(() => turns.next())).toEqual(['B', 'D', 'a', 'c', undefined])
})

it('lets nothing wait for ever under a stream of urgent things', () => {
  const turns = new Turns<number>()
  turns.add(-1, false)
  turns.add(-2, false)
  const order: (number | undefined)[] = []
  for (let n = 0; n < 2 * mostOvertaking + 4; n++) {
    turns.add(n, true)
    order.push(turns.next())
  }
  expect([order.indexOf(-1), order.indexOf(-2)]).toEqual([mostOvertaking, 2 * mostOvertaking + 1])
})

it('counts only what has overtaken something', () => {
  const turns = new Turns<number>()
  for (let n = 0; n < 10 * mostOvertaking; n++) {
    turns.add(n, true)
    expect(turns.next()).toBe(n)
  }
  turns.add(-1, false)
  turns.add(1, true)
  expect(turns.next()).toBe(1)
})
