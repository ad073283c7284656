import {
  errorCode,
  errorMessage,
  Fatal,
  Fenced,
  InvalidInput,
  MillraceError,
  NotFound,
  Retryable,
} from '../../src/core/errors.ts'

/** The protocol's names of the error codes that answers to our own requests may hold (kafka.apache.org/protocol). */
const errorTypes: Readonly<Record<number, string>> = {
  1: 'OFFSET_OUT_OF_RANGE',
  2: 'CORRUPT_MESSAGE',
  3: 'UNKNOWN_TOPIC_OR_PARTITION',
  5: 'LEADER_NOT_AVAILABLE',
  6: 'NOT_LEADER_FOR_PARTITION',
  7: 'REQUEST_TIMED_OUT',
  9: 'REPLICA_NOT_AVAILABLE',
  10: 'MESSAGE_TOO_LARGE',
  13: 'NETWORK_EXCEPTION',
  14: 'GROUP_LOAD_IN_PROGRESS',
  15: 'GROUP_COORDINATOR_NOT_AVAILABLE',
  16: 'NOT_COORDINATOR_FOR_GROUP',
  18: 'RECORD_LIST_TOO_LARGE',
  19: 'NOT_ENOUGH_REPLICAS',
  20: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  29: 'TOPIC_AUTHORIZATION_FAILED',
  30: 'GROUP_AUTHORIZATION_FAILED',
  31: 'CLUSTER_AUTHORIZATION_FAILED',
  32: 'INVALID_TIMESTAMP',
  40: 'INVALID_CONFIG',
  41: 'NOT_CONTROLLER',
  44: 'POLICY_VIOLATION',
  45: 'OUT_OF_ORDER_SEQUENCE_NUMBER',
  47: 'INVALID_PRODUCER_EPOCH',
  48: 'INVALID_TXN_STATE',
  49: 'INVALID_PRODUCER_ID_MAPPING',
  50: 'INVALID_TRANSACTION_TIMEOUT',
  51: 'CONCURRENT_TRANSACTIONS',
  52: 'TRANSACTION_COORDINATOR_FENCED',
  53: 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
  55: 'OPERATION_NOT_ATTEMPTED',
  56: 'KAFKA_STORAGE_ERROR',
  59: 'UNKNOWN_PRODUCER_ID',
  74: 'FENCED_LEADER_EPOCH',
  75: 'UNKNOWN_LEADER_EPOCH',
  76: 'UNSUPPORTED_COMPRESSION_TYPE',
  78: 'OFFSET_NOT_AVAILABLE',
  87: 'INVALID_RECORD',
  90: 'PRODUCER_FENCED',
}

/** An error code of an answer that kafkajs has not read. */
export class BrokerError extends Error {
  readonly type: string
  /** The topic that it is about, if it is about one. */
  readonly topic: string | undefined

  constructor(code: number, problem?: string | null, topic?: string) {
    const type = errorTypes[code] ?? `error code ${code}`
    super(problem ?? type.toLowerCase().replaceAll('_', ' '))
    this.name = 'BrokerError'
    this.type = type
    this.topic = topic
  }
}

/** The broker's name of an error, such as `NOT_COORDINATOR_FOR_GROUP`, also of one that retries were given up on. */
export function kafkaErrorType(error: unknown): string | undefined {
  for (let each = error, depth = 0; depth < 8 && typeof each === 'object' && each !== null; depth++) {
    if ('type' in each && typeof each.type === 'string') return each.type
    if ('errors' in each && Array.isArray(each.errors) && each.errors.length > 0) each = each.errors[0]
    else each = 'cause' in each ? each.cause : undefined
  }
  return undefined
}

/** The names of the error's classes in kafkajs, from the outermost to its first cause. */
function names(error: unknown): string[] {
  const found: string[] = []
  for (let each = error, depth = 0; depth < 8 && each instanceof Error; depth++) {
    found.push(each.name)
    each = each.cause
  }
  return found
}

function has(types: readonly string[], error: unknown): boolean {
  const type = kafkaErrorType(error)
  return type !== undefined && types.includes(type)
}

/** The coordinator is still busy with the transaction before: wait a moment. */
export function isTransactionPending(error: unknown): boolean {
  return has(['CONCURRENT_TRANSACTIONS'], error)
}

/** The brokers have forgotten this producer, or count differently: it needs a new identity. */
export function isProducerForgotten(error: unknown): boolean {
  return has(
    ['OUT_OF_ORDER_SEQUENCE_NUMBER', 'UNKNOWN_PRODUCER_ID', 'INVALID_PRODUCER_ID_MAPPING', 'INVALID_PRODUCER_EPOCH'],
    error,
  )
}

/** A refusal that stays: the batch itself cannot be taken. */
export function isBatchRefused(error: unknown): boolean {
  return has(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_TIMESTAMP', 'INVALID_RECORD'], error)
}

/** A newer producer with the same transactional id has taken over. */
export function isProducerFenced(error: unknown): boolean {
  return has(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED', 'TRANSACTION_COORDINATOR_FENCED'], error)
}

/** The member is no longer in the group: what it holds may be someone else's. */
export function isMemberFenced(error: unknown): boolean {
  return has(['ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID', 'FENCED_INSTANCE_ID'], error)
}

/** Another broker coordinates the group or the transactions now, or will soon: look it up again. */
export function isCoordinatorMoved(error: unknown): boolean {
  return has(['NOT_COORDINATOR_FOR_GROUP', 'GROUP_COORDINATOR_NOT_AVAILABLE', 'GROUP_LOAD_IN_PROGRESS'], error)
}

/** What is known of topics and leaders is out of date: refresh it. */
export function isMetadataStale(error: unknown): boolean {
  return (
    has(
      [
        'UNKNOWN_TOPIC_OR_PARTITION',
        'LEADER_NOT_AVAILABLE',
        'NOT_LEADER_FOR_PARTITION',
        'REPLICA_NOT_AVAILABLE',
        'FENCED_LEADER_EPOCH',
        'UNKNOWN_LEADER_EPOCH',
        'KAFKA_STORAGE_ERROR',
        'NOT_CONTROLLER',
      ],
      error,
    ) || names(error).includes('KafkaJSBrokerNotFound')
  )
}

/** The connection broke or no answer came: the request may have been carried out or not. */
export function isConnectionLost(error: unknown): boolean {
  return names(error).some((name) =>
    ['KafkaJSConnectionError', 'KafkaJSConnectionClosedError', 'KafkaJSRequestTimeoutError'].includes(name),
  )
}

/** No answer came in time. The connection may be dead without either side having been told. */
export function isTimedOut(error: unknown): boolean {
  return names(error).includes('KafkaJSRequestTimeoutError')
}

export function isOffsetOutOfRange(error: unknown): boolean {
  return has(['OFFSET_OUT_OF_RANGE'], error)
}

const unauthorized = [
  'TOPIC_AUTHORIZATION_FAILED',
  'GROUP_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
]

export function isUnauthorized(error: unknown): boolean {
  return has(unauthorized, error)
}

const tlsCodes = /^(?:CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_|ERR_SSL_|ERR_OSSL_|EPROTO)/

/**
 * The error as one of ours; `doing` completes "Kafka: ". An error that is ours already stays as it is; what is not
 * known to be final counts as retryable.
 */
export function explain(error: unknown, doing: string): MillraceError {
  if (error instanceof MillraceError) return error
  const inner = ownError(error)
  if (inner) return inner
  const message = `Kafka: ${doing}: ${errorMessage(error)}`
  const type = kafkaErrorType(error)
  if (isProducerFenced(error) || isMemberFenced(error))
    return new Fenced({ code: 'fenced', message: `${message}; another process has taken over`, cause: error })
  if (names(error).includes('KafkaJSSASLAuthenticationError') || type === 'SASL_AUTHENTICATION_FAILED')
    return new Fatal({
      code: 'authentication_failed',
      message,
      hint: 'check kafka.sasl in millrace.yaml (mechanism, username, password or token) against the brokers',
      cause: error,
    })
  if (tlsCodes.test(deepCode(error)))
    return new Fatal({
      code: 'tls_failed',
      message,
      hint: 'check kafka.ssl and kafka.tls in millrace.yaml: the authority that signed the brokers, and their names',
      cause: error,
    })
  if (isUnauthorized(error))
    return new Fatal({
      code: 'not_authorized',
      message,
      hint: 'give this user the rights it needs on topics, groups and transactional ids with the prefix "millrace-"',
      cause: error,
    })
  if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE')
    return new InvalidInput({
      code: 'record_too_large',
      message: `${message}; the topic's max.message.bytes bounds what one append can hold`,
      cause: error,
    })
  if (type === 'UNKNOWN_TOPIC_OR_PARTITION')
    return new NotFound({ code: 'topic_not_found', message: `${message}; it was deleted`, cause: error })
  if (type === 'INVALID_TIMESTAMP')
    return new InvalidInput({
      code: 'record_refused',
      message: `${message}; the topic's message.timestamp.before.max.ms and .after.max.ms bound how far from now one may be`,
      cause: error,
    })
  if (type === 'INVALID_RECORD') return new InvalidInput({ code: 'record_refused', message, cause: error })
  if (type === 'POLICY_VIOLATION' || type === 'INVALID_CONFIG' || type === 'INVALID_REPLICATION_FACTOR')
    return new Fatal({ code: 'refused_by_cluster', message, cause: error })
  return new Retryable({ code: 'log_unavailable', message, cause: error })
}

/** An error of ours that kafkajs has wrapped, such as that of a token that could not be had. */
function ownError(error: unknown): MillraceError | undefined {
  for (let each = error, depth = 0; depth < 8 && each instanceof Error; depth++) {
    if (each instanceof MillraceError) return each
    each = each.cause
  }
  return undefined
}

/** The first system error code, such as `ECONNREFUSED`, in the error and its causes. */
function deepCode(error: unknown): string {
  for (let each = error, depth = 0; depth < 8 && each instanceof Error; depth++) {
    const code = errorCode(each)
    if (code !== undefined) return code
    each = each.cause
  }
  return ''
}
