import { Fatal, Fenced, Retryable } from '../../../src/core/errors.ts'
import type { TopicPartition } from '../../../src/core/event.ts'
import { partitionKey } from './planning.ts'

export function reassigned(group: string, partition: TopicPartition): Fenced {
  return new Fenced({
    code: 'partition_reassigned',
    message: `${partitionKey(partition)} of group "${group}" belongs to another member now`,
  })
}

export function released(group: string, partition: TopicPartition): Fenced {
  return new Fenced({
    code: 'partition_released',
    message: `${partitionKey(partition)} of group "${group}" was released by this member`,
  })
}

export function tookTooLong(group: string, partition: TopicPartition, graceMs: number): Fenced {
  return new Fenced({
    code: 'partition_reassigned',
    message: `${partitionKey(partition)} of group "${group}" was not released within ${graceMs} ms and goes to another member`,
  })
}

export function sessionLost(group: string, partition: TopicPartition): Fenced {
  return new Fenced({
    code: 'session_lost',
    message: `${partitionKey(partition)} of group "${group}": the brokers were not heard of within the session timeout`,
  })
}

export function unheard(group: string): Retryable {
  return new Retryable({
    code: 'log_unavailable',
    message: `Kafka: the brokers were not heard of within the session timeout of group "${group}"`,
  })
}

export function logClosed(): Fatal {
  return new Fatal({ code: 'log_closed', message: 'the connection to Kafka is closed' })
}

export function beyondEnd(group: string, partition: TopicPartition, from: number, end: number): Fatal {
  return new Fatal({
    code: 'position_beyond_end',
    message: `group "${group}" has committed offset ${from} of ${partitionKey(partition)}, which ends at ${end}: the topic was made anew or has lost records`,
    hint: 'reset the offsets of the group (kafka-consumer-groups.sh --reset-offsets), or use another group',
  })
}
