import { distance } from 'fastest-levenshtein'
import { expect, test, vi } from 'vitest'
import { didYouMean, nearestName } from '../../src/core/nearest.ts'

vi.mock('fastest-levenshtein', { spy: true })

test('the nearest name is the one that differs least, if it does not differ by more than a third', () => {
  const known = ['category', 'categories', 'tenant']
  expect(nearestName('catgory', known)).toBe('category')
  expect(nearestName('TENNANT', known)).toBe('tenant')
  expect(nearestName('colour', known)).toBeUndefined()
  expect(didYouMean('catgory', known)).toBe(', did you mean "category"?')
})

test('names that are far longer or shorter are not compared', () => {
  vi.mocked(distance).mockClear()
  expect(nearestName('a'.repeat(1_000), ['a', 'text', 'b'.repeat(3_000)])).toBeUndefined()
  expect(distance).not.toHaveBeenCalled()
})
