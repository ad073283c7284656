import { describe, expect, test } from 'vitest'
import { milvusFailure, NotLoaded } from '../../../connectors/milvus/failure.ts'
import { Fatal, Retryable } from '../../../src/core/errors.ts'
import { Refused } from '../../../src/core/vector-writes.ts'

const grpcError = (code: number) => Object.assign(new Error(`${code} SOMETHING: said the server\nand more`), { code })
const answer = (code: number, error_code: string | number = 'UnexpectedError') => ({ error_code, code, reason: 'said' })

describe('a failure of Milvus', () => {
  test.each([
    ['no connection', grpcError(14), Retryable, 'vectors_unavailable'],
    ['no answer in time', grpcError(4), Retryable, 'vectors_unavailable'],
    ['no room for the request', grpcError(8), Retryable, 'vectors_unavailable'],
    ['a pool without a connection', new Error('ResourceRequest timed out'), Retryable, 'vectors_unavailable'],
    ['a wrong password', grpcError(16), Fatal, 'vectors_unauthorized'],
    ['a user who may not', grpcError(7), Fatal, 'vectors_unauthorized'],
    ['a privilege that is missing', answer(1401), Fatal, 'vectors_unauthorized'],
    ['a rate limit', answer(8, 'RateLimit'), Retryable, 'vectors_unavailable'],
    ['a request that makes no sense', answer(1100, 'IllegalArgument'), Refused, 'vector_store_refused'],
    ['a request that makes no sense to Milvus Lite', answer(6, 6), Refused, 'vector_store_refused'],
    ['a collection that was released', answer(101, 'CollectionNotLoaded'), NotLoaded, 'vectors_unavailable'],
    ['a collection that was dropped', { status: answer(100, 'CollectionNotExists') }, Fatal, 'collection_gone'],
    ['a database that is not there', answer(800), Fatal, 'database_not_found'],
  ])('%s', (_, error, kind, code) => {
    const failure = milvusFailure('milvus:19530', 'searching collection "tickets"', error)
    expect(failure).toBeInstanceOf(kind)
    expect(failure.code).toBe(code)
    expect(failure.message).toMatch(/milvus:19530.*tickets/)
    expect(failure.message).not.toContain('\n')
  })

  test.each([
    ['a rate limit', answer(8, 'RateLimit'), 1_000],
    ['a rate limit of a proxy', grpcError(8), 1_000],
    ['no memory left', answer(3, 'MemoryQuotaExhausted'), 5_000],
    ['a quota', answer(9, 'ForceDeny'), 5_000],
  ])('%s is waited for', (_, error, delayMs) => {
    const failure = milvusFailure('milvus:19530', 'writing', error)
    expect(failure).toBeInstanceOf(Retryable)
    expect(failure).toMatchObject({ delayMs })
  })
})
