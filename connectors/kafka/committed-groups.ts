import type { TopicPartition } from '../../src/core/event.ts'
import type { Committed } from '../../src/core/event-log.ts'
import type { Cluster } from './cluster.ts'
import { explain } from './errors.ts'
import { decodeJournal, isJournal } from './journal.ts'

export interface GroupPosition {
  readonly group: string
  readonly partition: TopicPartition
  readonly committed: Committed
}

/** How many groups are asked for at a time. */
const atOnce = 8

/** What the groups of Millrace have committed. Groups of other programs, and those that may not be read, are left out. */
export async function committedGroups(control: Cluster): Promise<GroupPosition[]> {
  try {
    const listed = await Promise.all(
      control.getNodeIds().map(async (nodeId) => (await control.findBroker({ nodeId })).listGroups()),
    )
    const names = [...new Set(listed.flatMap(({ groups }) => groups.map(({ groupId }) => groupId)))]
    const found: GroupPosition[] = []
    const next = names.values()
    const work = async () => {
      for (const group of next) found.push(...(await positionsOf(control, group).catch(() => [])))
    }
    await Promise.all(Array.from({ length: atOnce }, work))
    return found
  } catch (error) {
    throw explain(error, 'listing the groups')
  }
}

async function positionsOf(control: Cluster, group: string): Promise<GroupPosition[]> {
  const coordinator = await control.findGroupCoordinator({ groupId: group })
  const { responses } = await coordinator.offsetFetch({ groupId: group, topics: [] })
  return responses.flatMap(({ topic, partitions }) =>
    partitions
      .filter(({ offset, metadata }) => Number(offset) >= 0 && isJournal(metadata))
      .map(({ partition, offset, metadata }) => ({
        group,
        partition: { topic, partition },
        committed: decodeJournal(offset, metadata),
      })),
  )
}
