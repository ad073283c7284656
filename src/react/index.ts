'use client'

/** React hooks over the Millrace SDK, for React 18 and later. */
export type { ChannelStatus, FeedState } from './channel-source.ts'
export { MillraceProvider, type MillraceProviderProps, useMillrace } from './provider.ts'
export { type ChannelOptions, type ChannelView, type LiveEvent, useChannel } from './use-channel.ts'
export { useConnection } from './use-connection.ts'
export { type LatestOptions, type LatestView, useLatest } from './use-latest.ts'
export { type Publish, usePublish } from './use-publish.ts'
