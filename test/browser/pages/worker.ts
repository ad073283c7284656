import { connect } from '../../../src/client/index.ts'

/** The SDK in a worker: it is told an address, and hands on what comes. */
addEventListener('message', ({ data }) => {
  const subscription = connect(data.address).subscribe('notes', { since: { last: 0 } })
  subscription.on('subscribed', () => postMessage('subscribed'))
  subscription.on('event', ({ value }) => postMessage(value))
})
