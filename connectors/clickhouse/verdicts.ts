/**
 * Who has to act on an error of ClickHouse.
 * `row`: the rows cannot be accepted, ever. `passing`: the server recovers by itself, or with an operator's help, and the
 * same insert then succeeds. `blamed`: a row's fault if the server names one, else passing. `final`: nothing succeeds
 * before someone has changed the settings, the rights or the table.
 */
type Verdict = 'row' | 'blamed' | 'passing' | 'final'

interface Ruling {
  readonly verdict: Verdict
  readonly hint?: string
  /** Milliseconds to leave the server in peace. */
  readonly delayMs?: number
}

/** What an overloaded server is left in peace for. */
const busyMs = 1_000

const row = (names: string): [string, Ruling][] => names.split(' ').map((name) => [name, { verdict: 'row' }])
const passing = (names: string, rest: Omit<Ruling, 'verdict'> = {}): [string, Ruling][] =>
  names.split(' ').map((name) => [name, { verdict: 'passing', ...rest }])
const blamed = (names: string): [string, Ruling][] => names.split(' ').map((name) => [name, { verdict: 'blamed' }])
const final = (names: string, hint?: string): [string, Ruling][] =>
  names.split(' ').map((name) => [name, { verdict: 'final', ...(hint === undefined ? {} : { hint }) }])

/** By ClickHouse's names of its errors, from its `ErrorCodes.cpp`. */
export const rulings: ReadonlyMap<string, Ruling> = new Map([
  ...row('ARGUMENT_OUT_OF_BOUND CANNOT_CONVERT_TYPE CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN DECIMAL_OVERFLOW'),
  ...row('CANNOT_PARSE_BOOL CANNOT_PARSE_DATE CANNOT_PARSE_DATETIME CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING'),
  ...row('CANNOT_PARSE_ESCAPE_SEQUENCE CANNOT_PARSE_INPUT_ASSERTION_FAILED CANNOT_PARSE_IPV4 CANNOT_PARSE_IPV6'),
  ...row('CANNOT_PARSE_NUMBER CANNOT_PARSE_QUOTED_STRING CANNOT_PARSE_TEXT CANNOT_PARSE_UUID'),
  ...row('CANNOT_READ_ARRAY_FROM_TEXT CANNOT_READ_MAP_FROM_TEXT FUNCTION_THROW_IF_VALUE_IS_NON_ZERO'),
  ...row('ILLEGAL_DIVISION INCORRECT_DATA INCORRECT_NUMBER_OF_COLUMNS SIZES_OF_ARRAYS_DONT_MATCH'),
  ...row('SIZES_OF_NESTED_COLUMNS_ARE_INCONSISTENT TOO_LARGE_ARRAY_SIZE TOO_LARGE_STRING_SIZE TYPE_MISMATCH'),
  ...row('UNEXPECTED_DATA_AFTER_PARSED_VALUE UNKNOWN_ELEMENT_OF_ENUM VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE'),
  ...row('VIOLATED_CONSTRAINT'),

  ...passing('TOO_MANY_PARTS TOO_MANY_MUTATIONS', {
    hint: 'its merges are behind; larger blocks (block.count, block.age) make fewer parts',
    delayMs: busyMs,
  }),
  ...passing('MEMORY_LIMIT_EXCEEDED CANNOT_ALLOCATE_MEMORY CANNOT_SCHEDULE_TASK NO_FREE_CONNECTION', {
    delayMs: busyMs,
  }),
  ...passing('TOO_MANY_SIMULTANEOUS_QUERIES RECEIVED_ERROR_TOO_MANY_REQUESTS USER_SESSION_LIMIT_EXCEEDED', {
    delayMs: busyMs,
  }),
  ...passing('QUOTA_EXCEEDED', { hint: 'its user has used up a quota', delayMs: busyMs }),
  ...passing('TIMEOUT_EXCEEDED SOCKET_TIMEOUT NETWORK_ERROR DNS_ERROR ALL_CONNECTION_TRIES_FAILED TOO_SLOW'),
  ...passing('CANNOT_READ_FROM_SOCKET CANNOT_WRITE_TO_SOCKET CANNOT_DECOMPRESS CHECKSUM_DOESNT_MATCH'),
  // A value that ends too soon, or a connection.
  ...blamed('ATTEMPT_TO_READ_AFTER_EOF CANNOT_READ_ALL_DATA UNEXPECTED_END_OF_FILE'),
  ...passing('TABLE_IS_READ_ONLY', { hint: 'a replica without its Keeper; it goes on when that is back' }),
  ...passing('KEEPER_EXCEPTION NO_ZOOKEEPER', { hint: 'see whether its Keeper is up' }),
  ...passing('UNKNOWN_STATUS_OF_INSERT TOO_FEW_LIVE_REPLICAS UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE'),
  ...passing('NO_ACTIVE_REPLICAS NO_REPLICA_HAS_PART REPLICA_IS_NOT_IN_QUORUM REPLICA_STATUS_CHANGED'),
  ...passing('TABLE_IS_DROPPED TABLE_IS_BEING_RESTARTED ASYNC_LOAD_WAIT_FAILED ABORTED QUERY_WAS_CANCELLED'),
  ...passing('NOT_ENOUGH_SPACE', { hint: 'free some space on its disk and it goes on' }),
  ...passing('S3_ERROR DEADLOCK_AVOIDED UNFINISHED'),

  ...final(
    'AUTHENTICATION_FAILED REQUIRED_PASSWORD WRONG_PASSWORD UNKNOWN_USER',
    'check clickhouse.username and clickhouse.password',
  ),
  ...final('IP_ADDRESS_NOT_ALLOWED', 'its user may not come from this address: see HOST in CREATE USER'),
  ...final('ACCESS_DENIED', 'grant its user what is missing'),
  ...final('READONLY', 'its user may only read: see the setting readonly in its profile'),
  ...final('UNKNOWN_DATABASE', 'create it, or name another in clickhouse.database'),
  ...final('UNKNOWN_TABLE', 'start the pipeline anew and it makes the table'),
  ...final('CLUSTER_DOESNT_EXIST', 'clickhouse.cluster names a cluster of remote_servers, see system.clusters'),
  ...final('INVALID_SHARD_ID', 'the cluster has lost shards: start anew'),
  ...final(
    'NO_ELEMENTS_IN_CONFIG',
    'replicated tables need the macros shard and replica in the configuration of each server',
  ),
  ...final('ILLEGAL_COLUMN ILLEGAL_TYPE_OF_ARGUMENT NO_SUCH_COLUMN_IN_TABLE NOT_IMPLEMENTED SUPPORT_IS_DISABLED'),
  ...final('SYNTAX_ERROR UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_SETTING UNKNOWN_TYPE QUERY_IS_PROHIBITED'),
])
