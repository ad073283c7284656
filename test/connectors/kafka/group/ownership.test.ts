import { describe, expect, test } from 'vitest'
import { verdictOf } from '../../../../connectors/kafka/group/group-answers.ts'
import { type Moment, Ownership } from '../../../../connectors/kafka/group/ownership.ts'

describe('ownership', () => {
  test('holds for a session timeout from when the answered request was sent', () => {
    let time: Moment = { steady: 0, wall: 1000 }
    const ownership = new Ownership(100, () => time)
    expect([ownership.holds, ownership.ranOut]).toEqual([false, false])
    ownership.confirm(time)
    time = { steady: 99, wall: 1099 }
    expect(ownership.holds).toBe(true)
    expect(ownership.left).toBe(1)
    ownership.confirm({ steady: 50, wall: 1050 })
    ownership.confirm({ steady: 20, wall: 1020 })
    time = { steady: 149, wall: 1149 }
    expect(ownership.holds).toBe(true)
    time = { steady: 150, wall: 1150 }
    expect([ownership.holds, ownership.ranOut]).toEqual([false, true])
  })

  test('is over after a sleep in which the steady clock stood still', () => {
    let time: Moment = { steady: 0, wall: 1000 }
    const ownership = new Ownership(100, () => time)
    ownership.confirm(time)
    time = { steady: 1, wall: 1200 }
    expect(ownership.holds).toBe(false)
  })

  test('ends at once when it is known to be over', () => {
    const time: Moment = { steady: 0, wall: 0 }
    const ownership = new Ownership(100, () => time)
    ownership.confirm(time)
    ownership.end()
    expect([ownership.holds, ownership.left]).toEqual([false, 0])
  })
})

describe('what an answer to a group request says', () => {
  const named = (type: string) => Object.assign(new Error(type), { type, name: 'KafkaJSProtocolError' })

  test.each([
    ['REBALANCE_IN_PROGRESS', 'rejoin'],
    ['ILLEGAL_GENERATION', 'rejoin'],
    ['UNKNOWN_MEMBER_ID', 'unknown member'],
    ['FENCED_INSTANCE_ID', 'unknown member'],
    ['NOT_COORDINATOR_FOR_GROUP', 'look up'],
    ['GROUP_LOAD_IN_PROGRESS', 'look up'],
    ['INCONSISTENT_GROUP_PROTOCOL', 'fail'],
    ['INVALID_SESSION_TIMEOUT', 'fail'],
    ['GROUP_AUTHORIZATION_FAILED', 'fail'],
    ['REQUEST_TIMED_OUT', 'retry'],
  ])('%s: %s', (type, verdict) => {
    expect(verdictOf(named(type))).toBe(verdict)
  })

  test('a connection that broke: look the coordinator up again', () => {
    expect(verdictOf(Object.assign(new Error('closed'), { name: 'KafkaJSConnectionClosedError' }))).toBe('look up')
  })

  test('anything else: try again', () => {
    expect(verdictOf(new TypeError('x'))).toBe('retry')
  })
})
