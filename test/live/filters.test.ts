import { describe, expect, test } from 'vitest'
import { createExpressions } from '../../src/expressions/index.ts'
import { ChannelEvent } from '../../src/live/channel-event.ts'
import { ClientExpressions, SharedExpression } from '../../src/live/filters.ts'
import { EventBatch, match } from '../../src/live/matcher.ts'

const event = (offset: number, value = offset) =>
  new ChannelEvent('c', { offset, id: `e${offset}`, key: null, value, timestamp: 1, appended: 1 })

/** An expression each evaluation of which takes as long as it says, by a clock that nothing else moves. */
function costing(costs: (evaluation: number) => number) {
  let now = 0
  let evaluations = 0
  const run = () => {
    now += costs(evaluations++)
    return true
  }
  const expression = new SharedExpression('value.slow', run, () => now)
  return {
    expression,
    evaluations: () => evaluations,
    pass: (milliseconds: number) => {
      now += milliseconds
    },
    evaluate: (times: number) => {
      for (let time = 0; time < times; time++) expression.evaluate(event(time))
    },
  }
}

describe('the cost of an expression', () => {
  test('one that takes too long for every event is given up after a few milliseconds', () => {
    const { expression, evaluate, evaluations } = costing(() => 1)
    evaluate(500)
    expect(expression.tooCostly).toBe(true)
    expect(evaluations()).toBe(11)
    expect(expression.evaluate(event(0))).toBeUndefined()
  })

  test('one that takes just as long as it may is not', () => {
    const { expression, evaluate } = costing(() => 0.5)
    evaluate(5_000)
    expect(expression.tooCostly).toBe(false)
  })

  test('a pause of the process, or some, are not taken for its cost', () => {
    const { expression, evaluate } = costing((evaluation) => (evaluation % 50 === 7 ? 80 : 0.001))
    evaluate(200)
    expect(expression.tooCostly).toBe(false)
  })

  test('one that takes very long now and then is found out in the end', () => {
    const { expression, evaluate } = costing((evaluation) => (evaluation % 50 === 7 ? 80 : 0.001))
    evaluate(1_000)
    expect(expression.tooCostly).toBe(true)
  })

  test('one that was cheap for long is found out when it is not any more', () => {
    const { expression, evaluate } = costing((evaluation) => (evaluation < 1_000_000 ? 0.01 : 2))
    evaluate(1_000_000)
    expect(expression.tooCostly).toBe(false)
    evaluate(2_000)
    expect(expression.tooCostly).toBe(true)
  })

  test('it is refused for a while, and may then show itself again', () => {
    const slow = costing(() => 5)
    slow.evaluate(20)
    slow.pass(59_000)
    expect(slow.expression.forgiven).toBe(false)
    slow.pass(2_000)
    expect(slow.expression.forgiven).toBe(true)
  })
})

describe('the expressions of clients', () => {
  test('one text of one channel is one expression, as a filter and as a key', () => {
    const expressions = new ClientExpressions(createExpressions({ bounded: true }))
    const filter = expressions.filter('c', 'value > 1')
    expect(expressions.filter('c', 'value > 1')).toBe(filter)
    expect(expressions.filter('d', 'value > 1')).not.toBe(filter)
    expect(expressions.conflateKey('c', 'value > 1')).not.toBe(filter)
    expect(() => expressions.filter('c', 'value >')).toThrow(expect.objectContaining({ code: 'invalid_expression' }))
  })

  test('one that was too costly just now is refused, and is another one later', () => {
    // Every look at this clock takes 10 ms.
    let now = 0
    const clock = () => {
      now += 10
      return now
    }
    const expressions = new ClientExpressions(createExpressions(), clock)
    const filter = expressions.filter('c', 'value > 1')
    for (let offset = 0; offset < 20; offset++) filter.evaluate(event(offset))
    expect(() => expressions.filter('c', 'value > 1')).toThrow(
      expect.objectContaining({ code: 'expression_too_costly' }),
    )
    expect(expressions.filter('d', 'value > 1')).not.toBe(filter)
    now += 61_000
    expect(expressions.filter('c', 'value > 1')).not.toBe(filter)
  })

  test('a filter is evaluated once for each event of a batch, however many groups have it', () => {
    let evaluated = 0
    const filter = new SharedExpression('value > 1', ({ value }) => {
      evaluated++
      return Number(value) > 1
    })
    const batch = new EventBatch([event(0), event(1), event(2), event(3)])
    const odd = (candidate: ChannelEvent) => candidate.event.offset % 2 === 1
    const matchers = [
      { filter, similar: undefined },
      { filter, similar: undefined, rows: odd },
      { filter, similar: undefined },
    ]
    const found = matchers.map((matcher) => match(matcher, batch).matched.map(({ offset }) => offset))
    expect(found).toEqual([[2, 3], [3], [2, 3]])
    expect(evaluated).toBe(4)
  })

  test('a key is evaluated once for each event; null where it fails', () => {
    let evaluated = 0
    const key = new SharedExpression('value.x', ({ value }) => {
      evaluated++
      if (value === 2) throw new Error('no field')
      return { of: value }
    })
    const [one, two] = [event(1), event(2)]
    expect([one, one, two, two].map((each) => each.conflateKey(key))).toEqual(['{"of":1}', '{"of":1}', null, null])
    expect(evaluated).toBe(2)
  })
})
