import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { openCluster } from '../../../../connectors/kafka/cluster.ts'
import { closeCluster } from '../../../../connectors/kafka/group/connections.ts'
import { Membership } from '../../../../connectors/kafka/group/membership.ts'
import { TopicWatch } from '../../../../connectors/kafka/group/topic-watch.ts'
import { findService } from '../../../services/services.ts'
import { eventually, settingsFor } from './rig.ts'

const address = await findService('kafka')

test.skipIf(address === undefined)(
  'a member that was forgotten while it waits for a round loses all, and joins anew',
  async () => {
    const settings = settingsFor(address ?? '', 30_000)
    const [rounds, pulse] = [await openCluster(settings, 'group'), await openCluster(settings, 'fetching')]
    const group = `g-${randomUUID()}`
    const end = new AbortController()
    let [assigned, lost] = [0, 0]
    const membership = new Membership({
      group,
      sessionTimeout: settings.sessionTimeout,
      rounds,
      pulse,
      watch: new TopicWatch(async () => new Map(), end.signal),
      subscription: () => ({ topics: [], owned: [], generation: -1 }),
      assigned: () => assigned++,
      lost: () => lost++,
      failed: () => undefined,
      trouble: () => undefined,
    })
    membership.start()
    await eventually(() => assigned === 1, 'the first round')
    const first = membership.identity
    // The connection for rounds is dead without anyone having been told: what is sent over it is never answered.
    const { connectionPool } = await rounds.findGroupCoordinator({ groupId: group })
    const { send } = connectionPool
    let hangs = false
    connectionPool.send = () =>
      new Promise((_, reject) => {
        for (const connection of connectionPool.pool) connection.rejectRequests = reject
        hangs = true
      })
    membership.rejoin()
    await eventually(() => hangs, 'the round')
    connectionPool.send = send
    const other = await openCluster(settings, 'test')
    const coordinator = await other.findGroupCoordinator({ groupId: group })
    await coordinator.leaveGroup({ groupId: group, memberId: first?.memberId ?? '' })
    await eventually(() => lost > 0, 'the loss', 5000)
    await eventually(() => assigned === 2, 'the second round', 5000)
    expect(membership.identity?.memberId).not.toBe(first?.memberId)
    await membership.leave()
    end.abort()
    for (const cluster of [rounds, pulse, other]) await closeCluster(cluster)
    await membership.ended()
  },
  30_000,
)
