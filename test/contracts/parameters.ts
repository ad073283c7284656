import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Analytics } from '../../src/core/analytics.ts'
import { parameterFitting } from '../../src/core/clickhouse/parameters.ts'
import type { Json } from '../../src/core/event.ts'
import type { AnalyticsStorage } from './analytics.ts'

/** What is taken for a parameter of a type arrives as that value. */
export function parametersContract(name: string, prepare: () => Promise<AnalyticsStorage>): void {
  describe(`${name} takes parameters`, () => {
    let storage: AnalyticsStorage
    let analytics: Analytics
    beforeAll(async () => {
      storage = await prepare()
      analytics = await storage.open()
    })
    afterAll(async () => {
      await analytics.close()
      await storage.remove()
    })

    const cases: readonly (readonly [string, Json, Json])[] = [
      ['UInt8', 7, '7'],
      ['UInt8', '7', '7'],
      ['Int64', '-9007199254740993', '-9007199254740993'],
      ['Float64', 1.5, '1.5'],
      ['Float64', '1e3', '1000'],
      ['String', "it's \\ a `text`\nof {two:UInt8} lines\t", "it's \\ a `text`\nof {two:UInt8} lines\t"],
      ['String', '', ''],
      ['LowCardinality(String)', 'x', 'x'],
      ['Nullable(String)', null, null],
      ['Nullable(UInt8)', 3, '3'],
      ['Bool', true, 'true'],
      ['Bool', 'false', 'false'],
      ['Date', '2026-03-04', '2026-03-04'],
      ['Date', Date.UTC(2026, 2, 4, 23), '2026-03-04'],
      ["DateTime('UTC')", '2026-03-04T05:06:07Z', '2026-03-04 05:06:07'],
      ["DateTime('UTC')", '2026-03-04 07:06:07+02:00', '2026-03-04 05:06:07'],
      ["DateTime('UTC')", Date.UTC(2026, 2, 4, 5, 6, 7), '2026-03-04 05:06:07'],
      ["DateTime64(3, 'UTC')", '2026-03-04T05:06:07.089Z', '2026-03-04 05:06:07.089'],
      ["DateTime64(3, 'UTC')", Date.UTC(2026, 2, 4, 5, 6, 7, 89), '2026-03-04 05:06:07.089'],
      ['UUID', '00112233-4455-6677-8899-aabbccddeeff', '00112233-4455-6677-8899-aabbccddeeff'],
      ["Enum8('a' = 1, 'b' = 2)", 'b', 'b'],
      ['Decimal(9, 2)', '1.25', '1.25'],
      ['Array(String)', ['a', "b'c", ''], `['a','b\\'c','']`],
    ]
    test.each(cases)('%s: %j', async (type, given, expected) => {
      const { rows } = await analytics.query(`SELECT toString({p:${type}}) AS p`, { p: parameterFitting(type)(given) })
      expect(rows).toEqual([{ p: expected }])
    })
  })
}
