import type { AuditEntry } from '../core/audit.ts'
import { errorCode, Forbidden, InvalidInput, MillraceError, Retryable, Unauthenticated } from '../core/errors.ts'
import { type Action, notAllowed, type Principal } from '../core/principal.ts'
import { type Credentials, demand } from './credentials.ts'
import type { Gate } from './gate.ts'
import {
  type AuthenticateRequest,
  type ClientMessage,
  closeCodes,
  type ErrorMessage,
  type PresenceRequest,
  type PublishRequest,
  type QuerySubscribeRequest,
  type SubscribeOptions,
  type UnsubscribeRequest,
} from './protocol.ts'
import type { Sender } from './sender.ts'
import type { SessionContext } from './session.ts'
import { checkState, notPresent, SessionPresence } from './session-presence.ts'
import type { Held, SessionSubscriptions } from './session-subscriptions.ts'
import type { Ending, Subscription } from './subscription.ts'

/** What requests may use of their session. */
export interface Asked {
  readonly context: SessionContext
  readonly address: string | undefined
  readonly credentials: Credentials
  readonly subscriptions: SessionSubscriptions
  readonly sender: Sender
  readonly embeddings: Gate
  readonly end: (code: number, reason: string) => void
}

/** Does what a message asks for, and answers it. Throws what is to be answered as an error. */
export async function answer(message: ClientMessage, asked: Asked): Promise<void> {
  if (message.type === 'authenticate') return authenticate(message, asked)
  const principal = asked.credentials.require()
  switch (message.type) {
    case 'subscribe': {
      if ('query' in message) return subscribeQuery(message, principal, asked)
      const { id, type, channel, ...options } = message
      return subscribe(id, channel, options, principal, asked)
    }
    case 'unsubscribe':
      return unsubscribe(message, asked)
    case 'publish':
      return publish(message, principal, asked)
    case 'presence':
      return showState(message, asked)
  }
}

/** Adds a subscription to a channel and answers it. Throws `Forbidden`, and what `Hub.subscribe` throws. */
export async function subscribe(
  requestId: number,
  channel: string,
  options: SubscribeOptions,
  principal: Principal,
  asked: Asked,
): Promise<void> {
  audited('subscribe', channel, principal, asked)
  await asked.subscriptions.add(
    (id) => open(id, channel, options, principal, asked),
    ({ flow, from, recovered, start }) => {
      const { id: subscription, epoch } = flow
      asked.sender.reply({ id: requestId, type: 'subscribed', subscription, epoch, offset: from - 1, recovered })
      start()
    },
  )
}

/** Throws `Forbidden`, and what `LiveQueries.subscribe` throws. */
async function subscribeQuery(request: QuerySubscribeRequest, principal: Principal, asked: Asked): Promise<void> {
  audited('query', request.query, principal, asked)
  const { context, subscriptions, sender } = asked
  await subscriptions.add(
    (id) => context.queries.subscribe(id, request, principal, sender),
    ({ flow, epoch, offset, recovered }) => {
      sender.reply({ id: request.id, type: 'subscribed', subscription: flow.id, epoch, offset, recovered })
      sender.wake()
    },
  )
}

interface HeldChannel extends Held {
  readonly flow: Subscription
  readonly from: number
  readonly recovered: boolean
  /** Called when the client knows its id. */
  start(): void
}

async function open(
  id: string,
  channel: string,
  options: SubscribeOptions,
  principal: Principal,
  { context, sender, embeddings }: Asked,
): Promise<HeldChannel> {
  checkState(options.presence?.state)
  const visible = principal.rows('subscribe', channel)
  const rows = JSON.stringify(visible)
  const review = (current: Principal): Ending | undefined => {
    if (!current.may('subscribe', channel)) {
      const { code, message } = notAllowed(current, 'subscribe', channel)
      return { code, message, retry: false }
    }
    if (JSON.stringify(current.rows('subscribe', channel)) === rows) return undefined
    return { code: 'rows_changed', message: `What you see of "${channel}" has changed: subscribe again.`, retry: true }
  }
  const subscriber = { rows: visible, embeddings }
  const { subscription, from, recovered, release } = await context.hub.subscribe(
    id,
    channel,
    options,
    sender,
    subscriber,
  )
  context.observer.subscription(channel, 1)
  context.presence.count(channel, 1)
  let present: SessionPresence | undefined
  return {
    flow: subscription,
    from,
    recovered,
    review,
    get presence() {
      return present
    },
    start() {
      subscription.start()
      const asked = options.presence
      present = asked && new SessionPresence({ context, channel, id, principal, rows: visible, asked, sender })
    },
    release() {
      present?.end()
      subscription.close()
      release()
      context.observer.subscription(channel, -1)
      context.presence.count(channel, -1)
    },
  }
}

function unsubscribe({ id, subscription }: UnsubscribeRequest, { subscriptions, sender }: Asked): void {
  if (!subscriptions.drop(subscription)) throw subscriptionNotFound(subscription)
  sender.reply({ id, type: 'unsubscribed' })
}

function subscriptionNotFound(subscription: string): InvalidInput {
  return new InvalidInput({ code: 'subscription_not_found', message: `There is no subscription "${subscription}".` })
}

async function showState({ id, subscription, state }: PresenceRequest, asked: Asked): Promise<void> {
  const held = asked.subscriptions.get(subscription)
  if (!held) throw subscriptionNotFound(subscription)
  if (!held.presence) throw notPresent(subscription)
  await held.presence.show(state)
  asked.sender.reply({ id, type: 'present' })
}

async function publish({ id, topic, events, key }: PublishRequest, principal: Principal, asked: Asked): Promise<void> {
  audited('publish', topic, principal, asked)
  const positions = await asked.context.publish(topic, events, key, principal)
  asked.sender.reply({ id, type: 'published', positions })
}

/**
 * A wrong token ends a session that never had a right one. Another goes on: its own token holds until it expires, and
 * the client may try again.
 */
async function authenticate({ id, token }: AuthenticateRequest, asked: Asked): Promise<void> {
  const { context, credentials, subscriptions, sender, address, end } = asked
  const audit = (entry: Pick<AuditEntry, 'principal' | 'outcome' | 'code'>) =>
    context.audit({ action: 'authenticate', address, ...entry })
  try {
    const principal = await context.authenticate(token)
    credentials.replace(principal, subscriptions.size > 0)
    audit({ principal: principal.id, outcome: 'allowed' })
    sender.reply({ id, type: 'authenticated', expires: principal.expires, user: principal.id })
    subscriptions.review(principal)
  } catch (error) {
    const refused = error instanceof Unauthenticated || error instanceof Forbidden
    if (refused) audit({ principal: credentials.principal?.id ?? null, outcome: 'refused', code: error.code })
    if (!refused || credentials.principal) throw error
    sender.reply(errorReply(id, error, context))
    end(closeCodes.unauthenticated, error.code)
  }
}

/** Throws `Forbidden` if the principal may not; either way it is written down. */
function audited(action: Action, name: string, principal: Principal, { context, address }: Asked): void {
  const entry = { action, name, principal: principal.id, address }
  try {
    demand(principal, action, name)
  } catch (error) {
    context.audit({ ...entry, outcome: 'refused', code: errorCode(error) })
    throw error
  }
  context.audit({ ...entry, outcome: 'allowed' })
}

export function errorReply(id: number, error: unknown, { logger }: SessionContext): ErrorMessage {
  if (error instanceof MillraceError) {
    const message = error.hint === undefined ? error.message : `${error.message} ${error.hint}`
    return { id, type: 'error', code: error.code, message, retry: error instanceof Retryable }
  }
  logger.error('A live request failed unexpectedly.', { code: errorCode(error), error })
  return { id, type: 'error', code: 'internal_error', message: 'The server failed on this request.', retry: true }
}
