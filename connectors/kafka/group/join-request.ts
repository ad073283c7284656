import type Broker from 'kafkajs/src/broker/index.js'

const joinGroupKey = 11

export interface JoinRequest {
  readonly group: string
  /** Both in milliseconds. */
  readonly sessionTimeout: number
  readonly rebalanceTimeout: number
  /** Empty before the coordinator has given one. */
  readonly memberId: string
  readonly protocol: { readonly type: string; readonly name: string }
  readonly metadata: Buffer
}

/** As kafkajs's own, but without its answer to an id that is required: that is up to the caller. */
export async function requestJoin(
  broker: Broker,
  { group, sessionTimeout, rebalanceTimeout, memberId, protocol, metadata }: JoinRequest,
) {
  const { default: joinGroup } = await import('kafkajs/src/protocol/requests/joinGroup/index.js')
  const newest = Math.max(...joinGroup.versions.map(Number))
  const version = Math.min(newest, broker.versions?.[joinGroupKey]?.maxVersion ?? newest)
  const request = joinGroup.protocol({ version })({
    groupId: group,
    sessionTimeout,
    rebalanceTimeout,
    memberId,
    protocolType: protocol.type,
    groupProtocols: [{ name: protocol.name, metadata }],
  })
  return broker.connectionPool.send(request)
}
