import { expect, test } from 'vitest'
import { customary } from '../../src/config/environment.ts'
import { givenAddress, hideBindings } from './environment.ts'

test('servers that are named for the tests do not bind the product', () => {
  expect(Object.keys(customary).filter((name) => process.env[name] !== undefined)).toEqual([])
})

test('the names of servers move to where only tests look', () => {
  const environment: NodeJS.ProcessEnv = { REDIS_URL: 'redis://127.0.0.1:1', PATH: '/bin' }
  hideBindings(environment)
  expect(environment).toEqual({ MILLRACE_TEST_REDIS_URL: 'redis://127.0.0.1:1', PATH: '/bin' })
})

test('an empty variable names no server', () => {
  const name = 'NO_SUCH_SERVER'
  process.env[`MILLRACE_TEST_${name}`] = ''
  expect(givenAddress(name)).toBeUndefined()
  process.env[`MILLRACE_TEST_${name}`] = 'host:1'
  expect(givenAddress(name)).toBe('host:1')
  delete process.env[`MILLRACE_TEST_${name}`]
})
