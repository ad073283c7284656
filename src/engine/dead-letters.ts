import type { LogRecord, NewRecord } from '../core/event.ts'
import type { EventLog } from '../core/event-log.ts'

/** Why the event at an offset can never be accepted. */
export interface DeadLetter {
  readonly offset: number
  readonly component: string
  readonly code: string
  readonly message: string
}

export function deadLetterTopic(pipeline: string): string {
  return `${pipeline}.dlq`
}

/**
 * Appends the records with their original bytes, key and headers, and with headers that say what happened. Each offset
 * is appended once however often it is replayed and in whatever grouping: its offset is the record's sequence.
 */
export async function writeDeadLetters(
  log: Pick<EventLog, 'append'>,
  pipeline: string,
  lane: string,
  letters: readonly DeadLetter[],
  record: (offset: number) => LogRecord,
): Promise<void> {
  const byOffset = new Map<number, DeadLetter[]>()
  for (const letter of letters) {
    const same = byOffset.get(letter.offset) ?? []
    // One event may have become several, all rejected by the same component: its first reason is enough.
    if (!same.some(({ component }) => component === letter.component)) same.push(letter)
    byOffset.set(letter.offset, same)
  }
  const records: NewRecord[] = []
  const sequence: number[] = []
  for (const [offset, same] of [...byOffset].sort(([a], [b]) => a - b))
    for (const letter of same) {
      records.push(toRecord(record(offset), pipeline, letter))
      sequence.push(offset + 1)
    }
  // In one step: were some stored without those before them, these would be taken for stored as well.
  await log.append(deadLetterTopic(pipeline), records, { once: { producer: `${lane}/dlq`, sequence } })
}

function toRecord(record: LogRecord, pipeline: string, letter: DeadLetter): NewRecord {
  const text = (value: string | number) => Buffer.from(String(value))
  return {
    key: record.key,
    value: record.value,
    timestamp: record.timestamp,
    headers: {
      ...record.headers,
      'millrace-pipeline': text(pipeline),
      'millrace-component': text(letter.component),
      'millrace-code': text(letter.code),
      'millrace-message': text(letter.message),
      'millrace-topic': text(record.topic),
      'millrace-partition': text(record.partition),
      'millrace-offset': text(record.offset),
      'millrace-time': text(new Date().toISOString()),
    },
  }
}
