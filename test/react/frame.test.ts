import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { nextFrame } from '../../src/react/frame.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

function stubFrames(): (() => void)[] {
  const frames: (() => void)[] = []
  vi.stubGlobal('requestAnimationFrame', (draw: () => void) => frames.push(draw))
  return frames
}

test('draws with the next frame, and once', () => {
  const frames = stubFrames()
  const draw = vi.fn()
  nextFrame(draw)
  expect(draw).not.toHaveBeenCalled()
  for (const frame of frames) frame()
  vi.runAllTimers()
  expect(draw).toHaveBeenCalledOnce()
})

test('draws a page that is hidden and has no frames', () => {
  stubFrames()
  const draw = vi.fn()
  nextFrame(draw)
  vi.runAllTimers()
  expect(draw).toHaveBeenCalledOnce()
})

test('draws where there are no frames at all', () => {
  const draw = vi.fn()
  nextFrame(draw)
  vi.runAllTimers()
  expect(draw).toHaveBeenCalledOnce()
})

test('does not draw what was called off', () => {
  const frames = stubFrames()
  const draw = vi.fn()
  nextFrame(draw)()
  for (const frame of frames) frame()
  vi.runAllTimers()
  expect(draw).not.toHaveBeenCalled()
})
