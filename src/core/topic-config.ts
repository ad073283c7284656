import { InvalidInput } from './errors.ts'
import type { TopicConfig } from './event-log.ts'

/** The settings that are given. */
export function definedSettings(changes: Partial<TopicConfig>): Partial<TopicConfig> {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
}

/**
 * Throws `InvalidInput` (`bad_topic_name`, `bad_topic_config`) for a name that Kafka does not take, so that a topic can move
 * there, and for impossible settings.
 */
export function checkTopic(
  name: string,
  { partitions, retentionMs, retentionBytes }: Partial<TopicConfig>,
  mostPartitions: number,
): void {
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(name) || name === '.' || name === '..')
    throw new InvalidInput({
      code: 'bad_topic_name',
      message: `"${name}" cannot be a topic's name: 1 to 249 letters, digits, ".", "_" and "-"`,
    })
  if (partitions !== undefined && !(Number.isInteger(partitions) && partitions >= 1 && partitions <= mostPartitions))
    throw badConfig(name, `partitions must be a whole number from 1 to ${mostPartitions}`)
  for (const [option, value] of Object.entries({ retentionMs, retentionBytes }))
    if (value !== undefined && !(value >= 0)) throw badConfig(name, `${option} must be 0 or more`)
}

function badConfig(name: string, problem: string): InvalidInput {
  return new InvalidInput({ code: 'bad_topic_config', message: `topic "${name}": ${problem}` })
}
