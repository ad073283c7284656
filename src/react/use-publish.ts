import { useCallback } from 'react'
import type { JsonValue, PublishedPosition } from '../client/index.ts'
import { useMillrace } from './provider.ts'

/**
 * Appends events to a topic, all or none; resolves when they are durable, and rejects with a `MillraceClientError` that
 * says what is wrong. `key` is a JSON pointer into each event.
 */
export type Publish = (
  events: JsonValue | readonly JsonValue[],
  options?: { readonly key?: string; readonly signal?: AbortSignal },
) => Promise<readonly PublishedPosition[]>

/** The same function at every render, for as long as topic and client are the same. */
export function usePublish(topic: string): Publish {
  const client = useMillrace()
  return useCallback((events, options) => client.publish(topic, events, options), [client, topic])
}
