import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { Sources } from '../../src/react/shared.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

/** Sources that count up, and what was opened and closed. */
function counters() {
  const open: { readonly request: { readonly of: string }; count(): void; closed: boolean }[] = []
  const sources = new Sources<{ readonly of: string }, { readonly seen: number }>(
    { seen: -1 },
    (_client, request, changed) => {
      let seen = 0
      const source = {
        request,
        closed: false,
        count: () => {
          seen++
          changed()
        },
        view: () => ({ seen }),
        close: () => {
          source.closed = true
        },
      }
      open.push(source)
      return source
    },
  )
  return { sources, open }
}
const client = connect('http://127.0.0.1:1')
const request = JSON.stringify({ of: 'a' })

test('before anybody follows there is nothing, and nothing is opened', () => {
  const { sources, open } = counters()
  expect(sources.view(client, request)).toBe(sources.nothing)
  expect(open).toEqual([])
})

test('changes of one frame are one change, and between two the view is the same object', () => {
  const { sources, open } = counters()
  const changed = vi.fn()
  sources.follow(client, request, changed)
  const before = sources.view(client, request)
  expect(before).toEqual({ seen: 0 })
  for (let index = 0; index < 1_000; index++) open[0]?.count()
  expect(changed).not.toHaveBeenCalled()
  expect(sources.view(client, request)).toBe(before)
  vi.runAllTimers()
  expect(changed).toHaveBeenCalledOnce()
  expect(sources.view(client, request)).toEqual({ seen: 1_000 })
  expect(sources.view(client, request)).toBe(sources.view(client, request))
})

test('followers of the same share a source; other requests and other clients have their own', () => {
  const { sources, open } = counters()
  sources.follow(client, request, () => undefined)
  sources.follow(client, request, () => undefined)
  expect(open).toHaveLength(1)
  sources.follow(client, JSON.stringify({ of: 'b' }), () => undefined)
  sources.follow(connect('http://127.0.0.1:1'), request, () => undefined)
  expect(open.map((source) => source.request.of)).toEqual(['a', 'b', 'a'])
})

test('a source is closed after the last follower, and not before', () => {
  const { sources, open } = counters()
  const changed = vi.fn()
  const leave = sources.follow(client, request, changed)
  const leaveToo = sources.follow(client, request, changed)
  leave()
  vi.runAllTimers()
  expect(open[0]?.closed).toBe(false)
  open[0]?.count()
  leaveToo()
  vi.runAllTimers()
  expect(open[0]?.closed).toBe(true)
  expect(sources.view(client, request)).toBe(sources.nothing)
  sources.follow(client, request, () => undefined)
  expect(open).toHaveLength(2)
})

test('whoever leaves and comes back in the same turn finds the source as it was', () => {
  const { sources, open } = counters()
  sources.follow(client, request, () => undefined)()
  sources.follow(client, request, () => undefined)
  vi.runAllTimers()
  expect(open).toHaveLength(1)
  expect(open[0]?.closed).toBe(false)
})

test('what has come before the last follower left is not drawn afterwards', () => {
  const { sources, open } = counters()
  const changed = vi.fn()
  const leave = sources.follow(client, request, changed)
  open[0]?.count()
  leave()
  vi.runAllTimers()
  expect(changed).not.toHaveBeenCalled()
})
