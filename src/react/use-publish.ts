import { useCallback } from 'react'
import type { JsonValue, PublishedPosition, PublishOptions } from '../client/index.ts'
import { useMillrace } from './provider.ts'

/** `publish` of the client with its topic: appends events, all or none, and resolves when they are durable. */
export type Publish = (
  events: JsonValue | readonly JsonValue[],
  options?: PublishOptions,
) => Promise<readonly PublishedPosition[]>

/** The same function at every render, for as long as topic and client are the same. */
export function usePublish(topic: string): Publish {
  const client = useMillrace()
  return useCallback((events, options) => client.publish(topic, events, options), [client, topic])
}
