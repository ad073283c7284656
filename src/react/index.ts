'use client'

/** React hooks over the Millrace SDK, for React 18 and later. */
export type { ChannelStatus, FeedState, FeedStatus } from './channel-source.ts'
export { MillraceProvider, type MillraceProviderProps, useMillrace } from './provider.ts'
export { type ChannelOptions, type ChannelView, useChannel } from './use-channel.ts'
export { useConnection } from './use-connection.ts'
export { type FollowView, type UseFollowOptions, useFollow } from './use-follow.ts'
export { type LatestOptions, type LatestView, type StandingEvent, useLatest } from './use-latest.ts'
export { type LiveQueryView, useLiveQuery } from './use-live-query.ts'
export { type Member, type PresenceView, usePresence } from './use-presence.ts'
export { type Publish, usePublish } from './use-publish.ts'
