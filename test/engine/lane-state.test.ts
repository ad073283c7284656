import { expect, test } from 'vitest'
import type { Json } from '../../src/core/event.ts'
import { LaneStates } from '../../src/engine/lane-state.ts'

test('a change that is committed while other keys are read is still seen', async () => {
  let answer = (_values: (Json | undefined)[]) => {}
  const states = new LaneStates({
    get: () =>
      new Promise((resolve) => {
        answer = resolve
      }),
    async *scan() {},
  })
  const state = states.scope('dedupe')
  state.set('a', 1, 0)
  const reading = state.get(['a', 'b'])
  expect(states.below(1)).toMatchObject([{ value: 1 }])
  states.forget(1)
  answer([undefined])
  expect(await reading).toEqual([1, undefined])
})

test('the last change below an offset is committed, and those from it on stay', async () => {
  const states = new LaneStates({ get: async (keys) => keys.map(() => 'committed'), async *scan() {} })
  const state = states.scope('s')
  state.set('a', 1, 0)
  state.set('a', 2, 1)
  state.set('a', undefined, 2)
  expect(states.below(2).map(({ value }) => value)).toEqual([2])
  states.forget(2)
  expect(await state.get(['a', 'b'])).toEqual([undefined, 'committed'])
  expect(states.below(2)).toEqual([])
  states.forget(3)
  expect(await state.get(['a'])).toEqual(['committed'])
})
