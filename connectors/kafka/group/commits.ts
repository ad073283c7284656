import type { Committed } from '../../../src/core/event-log.ts'
import { isConnectionLost, isCoordinatorMoved, kafkaErrorType } from '../errors.ts'
import { backOff } from './backoff.ts'
import { reassigned } from './group-errors.ts'
import type { Lane } from './lane.ts'
import type { Membership } from './membership.ts'
import type { Positions } from './positions.ts'

export interface CommitOptions {
  readonly group: string
  readonly positions: Positions
  readonly membership: Membership
}

const mostFailures = 4
const roundMs = 200

/**
 * Commits in whatever generation the member is in by then, as long as it holds the lane: a round of the group only makes
 * the commit wait. Throws `Fenced`, or an error of kafkajs that may go away.
 */
export async function commitAsMember(
  lane: Lane,
  committed: Committed,
  { group, positions, membership }: CommitOptions,
): Promise<void> {
  for (let failures = 0; ; ) {
    const { identity } = membership
    if (!identity) throw reassigned(group, lane.partition)
    try {
      await positions.commit(identity, lane.partition, committed)
      return
    } catch (error) {
      lane.revoked.throwIfAborted()
      switch (kafkaErrorType(error)) {
        case 'UNKNOWN_MEMBER_ID':
        case 'FENCED_INSTANCE_ID':
          membership.unknown(identity.memberId)
          throw reassigned(group, lane.partition)
        case 'ILLEGAL_GENERATION':
          // No round is known of here: one has ended without this member.
          if (membership.stable && membership.identity?.generation === identity.generation) membership.rejoin()
          await membership.settled(identity, roundMs)
          break
        case 'REBALANCE_IN_PROGRESS':
          await membership.settled(identity, roundMs)
          break
        default:
          if (!(isCoordinatorMoved(error) || isConnectionLost(error)) || failures >= mostFailures) throw error
          await backOff(failures++, lane.revoked)
      }
      lane.revoked.throwIfAborted()
      lane.assertOwned()
    }
  }
}
