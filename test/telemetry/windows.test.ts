import { describe, expect, test } from 'vitest'
import { LatencyWindow } from '../../src/telemetry/latency.ts'
import { RateMeter } from '../../src/telemetry/rate.ts'

describe('rate', () => {
  test('is events per second over the last seconds, and falls to nothing', () => {
    let now = 1_000_123
    const meter = new RateMeter(() => now)
    for (let tick = 0; tick < 200; tick++) {
      meter.add(10)
      now += 100
    }
    expect(meter.rate()).toBeGreaterThan(95)
    expect(meter.rate()).toBeLessThan(105)
    now += 60_000
    expect(meter.rate()).toBe(0)
  })

  test('a start is not overstated', () => {
    let now = 0
    const meter = new RateMeter(() => now)
    meter.add(10)
    now += 10
    expect(meter.rate()).toBe(10)
  })
})

describe('latency', () => {
  test('quantiles are within four percent', () => {
    const window = new LatencyWindow(() => 5)
    for (let milliseconds = 1; milliseconds <= 1000; milliseconds++) window.record(milliseconds)
    const { p50, p99 } = window.quantiles() ?? { p50: 0, p99: 0 }
    expect(Math.abs(p50 - 500)).toBeLessThan(20)
    expect(Math.abs(p99 - 990)).toBeLessThan(40)
  })

  test('forgets what is older than a minute, and never fails on odd values', () => {
    let now = 0
    const window = new LatencyWindow(() => now)
    for (const odd of [-5, 0, Number.MAX_SAFE_INTEGER]) window.record(odd)
    expect(window.quantiles()).toBeDefined()
    now += 61_000
    expect(window.quantiles()).toBeUndefined()
  })
})
