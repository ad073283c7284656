import { setMaxListeners } from 'node:events'
import type Broker from 'kafkajs/src/broker/index.js'
import type { MillraceError } from '../../../src/core/errors.ts'
import type { TopicPartition } from '../../../src/core/event.ts'
import type { Cluster } from '../cluster.ts'
import { explain, kafkaErrorType } from '../errors.ts'
import { backOff, pause, within } from './backoff.ts'
import { Bell } from './bell.ts'
import { Coordinator } from './connections.ts'
import { finalError, requiredMemberId, verdictOf } from './group-answers.ts'
import { unheard } from './group-errors.ts'
import { requestJoin } from './join-request.ts'
import { now, Ownership } from './ownership.ts'
import { type Candidate, planRound } from './planning.ts'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
  type Subscription,
} from './subscription.ts'
import type { TopicWatch } from './topic-watch.ts'

const protocol = { type: 'consumer', name: 'millrace-cooperative' } as const
const heartbeatMs = 1000
/** How soon, and how long after that at most, it is looked whether the session has run out. */
const [soonMs, latestMs] = [20, 1000]
/** How long leaving waits for an id that was asked for. */
const givenIdMs = 500
/** What is over sooner is not worth telling. */
const fewFailures = 5

export interface MembershipOptions {
  readonly group: string
  readonly sessionTimeout: number
  /** For joining and syncing, whose answers may take long. */
  readonly rounds: Cluster
  /** For heartbeats and leaving, which must not wait for those. */
  readonly pulse: Cluster
  readonly watch: TopicWatch
  /** What to tell the group, taken at the start of each round. */
  readonly subscription: () => Subscription
  /** The end of a round. */
  readonly assigned: (partitions: readonly TopicPartition[], generation: number) => void
  /** Nothing is owned any more, as of now. */
  readonly lost: () => void
  /** Nothing can help: the member has ended. */
  readonly failed: (error: MillraceError) => void
  /** Why the group cannot be joined at present; without an error, that it has been. */
  readonly trouble: (error: MillraceError | undefined) => void
}

export interface Identity {
  readonly memberId: string
  readonly generation: number
}

/**
 * Keeps one member in its group:
 *
 *     joining ──▶ syncing ──▶ stable ──▶ joining …       any ──▶ left
 *
 * A round (joining, syncing) begins whenever someone comes or goes or asks for it. What this member holds is not touched
 * by that: only `assigned` says what is gone, and `lost` that everything is. Heartbeats go on through all of it, on a
 * connection of their own.
 */
export class Membership {
  readonly ownership: Ownership
  readonly #options: MembershipOptions
  readonly #rounds: Coordinator
  readonly #pulse: Coordinator
  /** How long the coordinator waits for members to join a round. Those that are gone it drops sooner. */
  readonly #rebalanceTimeout: number
  readonly #end = new AbortController()
  #memberId = ''
  #generation = -1
  #phase: 'joining' | 'syncing' | 'stable' | 'left' = 'joining'
  /** When the last heartbeat was sent that found no round under way. */
  #undisturbed = Number.NEGATIVE_INFINITY
  #rejoin = false
  #running: Promise<unknown> | undefined
  /** Rings when the phase or the identity has changed, or a round was asked for. */
  readonly #changed = new Bell()

  constructor(options: MembershipOptions) {
    this.#options = options
    setMaxListeners(0, this.#end.signal)
    this.ownership = new Ownership(options.sessionTimeout)
    this.#rebalanceTimeout = 3 * options.sessionTimeout
    this.#rounds = new Coordinator(options.rounds, options.group)
    this.#pulse = new Coordinator(options.pulse, options.group)
  }

  /** As whom to commit; `undefined` while this member is in no group. */
  get identity(): Identity | undefined {
    return this.#memberId === '' || this.#generation < 0
      ? undefined
      : { memberId: this.#memberId, generation: this.#generation }
  }

  get stable(): boolean {
    return this.#phase === 'stable'
  }

  start(): void {
    this.#running ??= Promise.all([this.#run(), this.#beat(), this.#guard()])
  }

  /** Begins a round as soon as none is under way. */
  rejoin(): void {
    this.#rejoin = true
    this.#changed.ring()
  }

  /** Resolves when a round has ended or this member has got another identity, after `longestMs` at most. */
  async settled({ generation, memberId }: Identity, longestMs: number): Promise<void> {
    const end = performance.now() + longestMs
    const same = () => this.#generation === generation && this.#memberId === memberId && this.#phase !== 'left'
    while (same() && performance.now() < end) await this.#changed.next([], end - performance.now())
    while (this.#phase === 'syncing' && performance.now() < end) await this.#changed.next([], end - performance.now())
  }

  /** The coordinator has told someone else of this process that it does not know this member. */
  unknown(memberId: string): void {
    if (memberId !== this.#memberId) return
    this.#lose({ forgotten: true })
    this.rejoin()
  }

  /** Leaves the group. The others need not wait for the session to run out. Never throws. */
  async leave(): Promise<void> {
    if (this.#phase === 'left') return
    const joining = this.#phase === 'joining' && this.#running !== undefined
    this.#phase = 'left'
    this.#end.abort()
    this.#changed.ring()
    this.ownership.end()
    // The others would wait for an id that was given out and not used.
    if (joining && this.#memberId === '') await this.#changed.next([], givenIdMs)
    const memberId = this.#memberId
    if (memberId !== '') {
      try {
        const broker = await this.#pulse.broker()
        await broker.leaveGroup({ groupId: this.#options.group, memberId })
      } catch {
        // The session runs out by itself.
      }
    }
  }

  /** Resolves when nothing is under way any more; to be awaited once the connections are closed. */
  async ended(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#end
    for (let failures = 0; !signal.aborted; ) {
      try {
        await this.#round()
        failures = 0
        await this.#untilRejoin()
      } catch (error) {
        if (signal.aborted) return
        await this.#recover(error, failures++)
      }
    }
  }

  async #recover(error: unknown, failures: number): Promise<void> {
    const { group, failed, trouble } = this.#options
    const verdict = verdictOf(error)
    if (verdict === 'fail') {
      this.#phase = 'left'
      this.#end.abort()
      this.#lose({ forgotten: true })
      failed(finalError(error, group))
      return
    }
    if (verdict === 'unknown member') this.#lose({ forgotten: true })
    if (verdict === 'look up') await this.#rounds.drop()
    if (failures >= fewFailures) trouble(explain(error, `joining the group "${group}"`))
    await backOff(failures, this.#end.signal)
  }

  async #round(): Promise<void> {
    const { group, subscription, assigned, trouble } = this.#options
    this.#enter('joining')
    this.#rejoin = false
    const broker = await this.#rounds.broker()
    const names = await this.#options.watch.named(subscription().topics)
    // What is owned is told as of now.
    const metadata = encodeSubscription(subscription(), names)
    const joined = await this.#join(broker, metadata)
    this.#end.signal.throwIfAborted()
    this.#memberId = joined.memberId
    this.#generation = joined.generationId
    this.#enter('syncing')
    const leads = joined.leaderId === joined.memberId
    const groupAssignment = leads ? await this.#plan(joined.members) : []
    if (!leads) this.#options.watch.rest()
    const sent = now()
    const { memberAssignment } = await broker.syncGroup({
      groupId: group,
      generationId: joined.generationId,
      memberId: joined.memberId,
      groupAssignment,
    })
    this.#end.signal.throwIfAborted()
    // Everything may have been lost while the answer was on its way.
    this.#memberId = joined.memberId
    this.#generation = joined.generationId
    this.ownership.confirm(sent)
    this.#undisturbed = Math.max(this.#undisturbed, sent.steady)
    this.#enter('stable')
    trouble(undefined)
    assigned(decodeAssignment(memberAssignment), joined.generationId)
  }

  /** The first time, the coordinator answers an id to join with. It is kept, so that leaving works from then on. */
  async #join(broker: Broker, metadata: Buffer) {
    for (;;) {
      try {
        return await requestJoin(broker, {
          group: this.#options.group,
          sessionTimeout: this.#options.sessionTimeout,
          rebalanceTimeout: this.#rebalanceTimeout,
          memberId: this.#memberId,
          protocol,
          metadata,
        })
      } catch (error) {
        const given = requiredMemberId(error)
        if (given === undefined) throw error
        this.#memberId = given
        this.#changed.ring()
        if (this.#end.signal.aborted) throw error
      }
    }
  }

  async #plan(members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[]) {
    const candidates: Candidate[] = members.map(({ memberId, memberMetadata }) => {
      const { topics, owned, generation } = decodeSubscription(memberMetadata) ?? {
        topics: [],
        owned: [],
        generation: -1,
      }
      return { id: memberId, topics, owned, generation }
    })
    const partitions = await this.#options.watch.lead(candidates, () => this.rejoin())
    return [...planRound(candidates, partitions)].map(([memberId, given]) => ({
      memberId,
      memberAssignment: encodeAssignment(given),
    }))
  }

  async #untilRejoin(): Promise<void> {
    while (!this.#rejoin && !this.#end.signal.aborted) await this.#changed.next([this.#end.signal])
  }

  /** Heartbeats, from the first round on until the member has left. */
  async #beat(): Promise<void> {
    const { signal } = this.#end
    const every = Math.min(heartbeatMs, this.#options.sessionTimeout / 6)
    while (!signal.aborted) {
      await pause(every, signal)
      if (signal.aborted) return
      if (this.identity === undefined) continue
      await this.#heartbeat(this.identity, every)
    }
  }

  /** Gives everything up when the session has run out by this member's own clock, whatever the brokers are doing. */
  async #guard(): Promise<void> {
    const { signal } = this.#end
    while (!signal.aborted) {
      const { left } = this.ownership
      await pause(left > 0 ? Math.min(Math.max(soonMs, left), latestMs) : latestMs, signal)
      if (signal.aborted || !this.ownership.ranOut) continue
      this.#lose({ forgotten: false })
      this.#options.trouble(unheard(this.#options.group))
      // What a round waits for may never be answered.
      if (this.#phase !== 'stable') await this.#rounds.drop()
      this.rejoin()
    }
  }

  async #heartbeat(identity: Identity, patience: number): Promise<void> {
    const sent = now()
    try {
      const broker = await this.#pulse.broker()
      const beat = broker.heartbeat({
        groupId: this.#options.group,
        groupGenerationId: identity.generation,
        memberId: identity.memberId,
      })
      await within(beat, Math.max(3 * patience, 1000))
      if (identity.memberId !== this.#memberId) return
      this.ownership.confirm(sent)
      this.#undisturbed = sent.steady
    } catch (error) {
      if (identity.memberId === this.#memberId && !this.#end.signal.aborted)
        await this.#heartbeatFailed(error, identity, sent)
    }
  }

  async #heartbeatFailed(error: unknown, identity: Identity, sent: ReturnType<typeof now>): Promise<void> {
    const verdict = verdictOf(error)
    if (verdict === 'unknown member') {
      if (identity.generation !== this.#generation) return
      this.unknown(identity.memberId)
      // Then the coordinator does not know of a round that is waited for here either.
      if (this.#phase !== 'stable') await this.#rounds.drop()
    } else if (verdict === 'rejoin') {
      if (kafkaErrorType(error) === 'REBALANCE_IN_PROGRESS') this.#confirmInRound(sent)
      const current = identity.generation === this.#generation && this.#phase === 'stable'
      if (current) this.rejoin()
    } else if (verdict === 'look up') await this.#pulse.drop()
  }

  /** In a round a member is in the group only until the others stop waiting for it to join, which is counted from its begin. */
  #confirmInRound(sent: ReturnType<typeof now>): void {
    const roundMayEnd = this.#undisturbed + this.#rebalanceTimeout
    if (sent.steady + this.#options.sessionTimeout <= roundMayEnd) this.ownership.confirm(sent)
  }

  #lose({ forgotten }: { readonly forgotten: boolean }): void {
    this.ownership.end()
    this.#generation = -1
    if (forgotten) this.#memberId = ''
    this.#options.lost()
    this.#changed.ring()
  }

  #enter(phase: 'joining' | 'syncing' | 'stable'): void {
    if (this.#phase !== 'left') this.#phase = phase
    this.#changed.ring()
  }
}
