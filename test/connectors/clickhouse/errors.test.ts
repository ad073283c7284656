import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { definitionError, queryError, RefusedRequest, writeError } from '../../../connectors/clickhouse/errors.ts'
import { openAnalytics } from '../../../connectors/clickhouse/index.ts'
import { rulings } from '../../../connectors/clickhouse/verdicts.ts'
import { RejectedRows } from '../../../src/core/analytics.ts'
import { Fatal, InvalidInput, Retryable } from '../../../src/core/errors.ts'

const where = 'ClickHouse at http://ch.example:8123'

/** As a server answers it. */
function said(name: string, message = 'something'): Error {
  return new RefusedRequest(
    500,
    `Code: 1. DB::Exception: ${message}. (${name}) (version 25.8.2.1 (official build))`,
    undefined,
  )
}

function systemError(code: string): Error {
  return Object.assign(new Error(`connect ${code} 10.0.0.1:8123`), { code })
}

describe('what an error means for an insert', () => {
  test.each([
    ['TOO_MANY_PARTS', Retryable],
    ['MEMORY_LIMIT_EXCEEDED', Retryable],
    ['TOO_MANY_SIMULTANEOUS_QUERIES', Retryable],
    ['QUOTA_EXCEEDED', Retryable],
    ['TABLE_IS_READ_ONLY', Retryable],
    ['KEEPER_EXCEPTION', Retryable],
    ['NO_ZOOKEEPER', Retryable],
    ['UNKNOWN_STATUS_OF_INSERT', Retryable],
    ['TOO_FEW_LIVE_REPLICAS', Retryable],
    ['UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE', Retryable],
    ['TIMEOUT_EXCEEDED', Retryable],
    ['SOCKET_TIMEOUT', Retryable],
    ['NETWORK_ERROR', Retryable],
    ['ALL_CONNECTION_TRIES_FAILED', Retryable],
    ['NOT_ENOUGH_SPACE', Retryable],
    ['ABORTED', Retryable],
    ['AN_ERROR_OF_NEXT_YEAR', Retryable],
    ['AUTHENTICATION_FAILED', Fatal],
    ['REQUIRED_PASSWORD', Fatal],
    ['ACCESS_DENIED', Fatal],
    ['READONLY', Fatal],
    ['UNKNOWN_TABLE', Fatal],
    ['UNKNOWN_DATABASE', Fatal],
    ['CLUSTER_DOESNT_EXIST', Fatal],
    ['NO_SUCH_COLUMN_IN_TABLE', Fatal],
    ['VIOLATED_CONSTRAINT', RejectedRows],
    ['CANNOT_PARSE_INPUT_ASSERTION_FAILED', RejectedRows],
    ['CANNOT_PARSE_A_TYPE_OF_NEXT_YEAR', RejectedRows],
    ['INCORRECT_DATA', RejectedRows],
    ['TYPE_MISMATCH', RejectedRows],
    ['VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE', RejectedRows],
  ])('%s', (name, expected) => {
    const error = writeError(said(name), where, 'insert into t')
    expect(error).toBeInstanceOf(expected)
    expect(error.code).toBe(name === 'NOT_ENOUGH_SPACE' ? 'disk_full' : `clickhouse_${name.toLowerCase()}`)
    if (!(error instanceof RejectedRows)) expect(error.message).toBe(`${where}: insert into t: something.`)
  })

  test('every ruling has a class, and hints where someone has to act', () => {
    for (const [name, { verdict }] of rulings) {
      const error = writeError(said(name), where, 'insert into t')
      const expected = { row: RejectedRows, blamed: Retryable, passing: Retryable, final: Fatal }[verdict]
      expect(error, name).toBeInstanceOf(expected)
    }
  })

  test.each(['ATTEMPT_TO_READ_AFTER_EOF', 'CANNOT_READ_ALL_DATA', 'AN_ERROR_OF_NEXT_YEAR'])(
    '%s is a fault of the row that it names',
    (name) => {
      const error = writeError(said(name, 'ended too soon: (at row 3)\n: While reading'), where, 'insert into t')
      expect(error).toBeInstanceOf(RejectedRows)
      expect(error).toMatchObject({ row: 2 })
    },
  )

  test('running out of memory at a row is no fault of the row', () => {
    const error = writeError(said('MEMORY_LIMIT_EXCEEDED', 'would use 1 GB: (at row 3)\n'), where, 'insert into t')
    expect(error).toBeInstanceOf(Retryable)
  })

  test('an overloaded server is left in peace for a second', () => {
    expect(writeError(said('TOO_MANY_PARTS'), where, 'insert into t')).toMatchObject({ delayMs: 1000 })
  })

  test('the names are those of ClickHouse', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-chdb-errors-'))
    const analytics = await openAnalytics({ embedded: folder })
    const { rows } = await analytics.query('SELECT errorCodeToName(number) AS name FROM numbers(2000)')
    const names = new Set(rows.map(({ name }) => name))
    expect([...rulings.keys()].filter((name) => !names.has(name))).toEqual([])
    await analytics.close()
    await rm(folder, { recursive: true, force: true })
  })
})

describe('what the network and proxies mean', () => {
  test.each([
    ['ECONNREFUSED', Retryable],
    ['ECONNRESET', Retryable],
    ['EPIPE', Retryable],
    ['ETIMEDOUT', Retryable],
    ['ENOTFOUND', Retryable],
    ['EAI_AGAIN', Retryable],
    ['EHOSTUNREACH', Retryable],
    ['CERT_HAS_EXPIRED', Retryable],
    ['SELF_SIGNED_CERT_IN_CHAIN', Fatal],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', Fatal],
    ['ERR_TLS_CERT_ALTNAME_INVALID', Fatal],
    ['EPROTO', Fatal],
  ])('%s', (code, expected) => {
    const error = writeError(systemError(code), where, 'insert into t')
    expect(error).toBeInstanceOf(expected)
    expect(error.message).toContain(`${where}: insert into t`)
    expect(error.message).toContain(code)
  })

  test.each([
    [429, Retryable],
    [500, Retryable],
    [502, Retryable],
    [503, Retryable],
    [504, Retryable],
    [404, Retryable],
    [401, Fatal],
    [403, Fatal],
    [407, Fatal],
    [413, Fatal],
  ])('status %d', (status, expected) => {
    const page = '<html><head><title>x</title></head><body><h1>Not now</h1></body></html>'
    const error = writeError(new RefusedRequest(status, page, 3_000), where, 'insert into t')
    expect(error).toBeInstanceOf(expected)
    expect(error.message).toBe(`${where}: insert into t: status ${status} Not now`)
    if (error instanceof Retryable) expect(error.delayMs).toBe(3_000)
  })
})

describe('what an error means elsewhere', () => {
  test('a definition that ClickHouse does not take is wrong in the pipeline', () => {
    expect(definitionError(said('BAD_ARGUMENTS'), where, 'table t')).toBeInstanceOf(Fatal)
    expect(definitionError(said('TYPE_MISMATCH'), where, 'table t')).toBeInstanceOf(Fatal)
    expect(definitionError(said('KEEPER_EXCEPTION'), where, 'table t')).toBeInstanceOf(Retryable)
    expect(definitionError(systemError('ECONNREFUSED'), where, 'table t')).toBeInstanceOf(Retryable)
  })

  test('a query is wrong, or too large, or the server is in trouble', () => {
    expect(queryError(said('UNKNOWN_IDENTIFIER'), where)).toBeInstanceOf(InvalidInput)
    expect(queryError(said('MEMORY_LIMIT_EXCEEDED'), where)).toMatchObject({ code: 'query_too_large' })
    for (const passing of ['TOO_MANY_SIMULTANEOUS_QUERIES', 'KEEPER_EXCEPTION', 'SOCKET_TIMEOUT', 'TABLE_IS_DROPPED']) {
      expect(queryError(said(passing), where)).toBeInstanceOf(Retryable)
    }
    expect(queryError(said('QUERY_WAS_CANCELLED'), where)).toMatchObject({ code: 'query_cancelled' })
    expect(queryError(systemError('ECONNREFUSED'), where)).toBeInstanceOf(Retryable)
    expect(queryError(said('AUTHENTICATION_FAILED'), where)).toBeInstanceOf(Fatal)
  })
})
