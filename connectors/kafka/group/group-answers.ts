import { Fatal, type MillraceError } from '../../../src/core/errors.ts'
import { explain, isConnectionLost, isCoordinatorMoved, kafkaErrorType } from '../errors.ts'

/** What an error of a group request says, by the broker's name of it. */
export type Verdict = 'rejoin' | 'unknown member' | 'look up' | 'fail' | 'retry'

export function verdictOf(error: unknown): Verdict {
  if (isConnectionLost(error) || isCoordinatorMoved(error)) return 'look up'
  switch (kafkaErrorType(error)) {
    case 'REBALANCE_IN_PROGRESS':
    case 'ILLEGAL_GENERATION':
      return 'rejoin'
    case 'UNKNOWN_MEMBER_ID':
    case 'FENCED_INSTANCE_ID':
      return 'unknown member'
    case 'INCONSISTENT_GROUP_PROTOCOL':
    case 'INVALID_GROUP_ID':
    case 'INVALID_SESSION_TIMEOUT':
    case 'GROUP_MAX_SIZE_REACHED':
      return 'fail'
    default:
      return explain(error, '') instanceof Fatal ? 'fail' : 'retry'
  }
}

/** The id that a member is to join again with, if that is what the error says. */
export function requiredMemberId(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== 'KafkaJSMemberIdRequired' || !('memberId' in error)) return undefined
  return typeof error.memberId === 'string' ? error.memberId : undefined
}

/** An error whose verdict is `fail`, with advice. */
export function finalError(error: unknown, group: string): MillraceError {
  const type = kafkaErrorType(error)
  if (type === 'INCONSISTENT_GROUP_PROTOCOL')
    return new Fatal({
      code: 'group_in_use',
      message: `the consumer group "${group}" is used by another program, which shares out its partitions in another way`,
      hint: 'give the source of the pipeline a group of its own, or stop the other program',
      cause: error,
    })
  if (type === 'INVALID_SESSION_TIMEOUT')
    return new Fatal({
      code: 'bad_session_timeout',
      message: `the brokers do not allow the session timeout of group "${group}"`,
      hint: 'set kafka.sessionTimeout between group.min.session.timeout.ms and group.max.session.timeout.ms of the brokers',
      cause: error,
    })
  const explained = explain(error, `joining the group "${group}"`)
  if (explained instanceof Fatal) return explained
  return new Fatal({ code: 'group_refused', message: explained.message, cause: error })
}
