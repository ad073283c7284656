import { connect } from '../../../src/client/index.ts'
import type { Note } from './app.tsx'

/** The SDK without React: what comes is kept across reloads, in the same turn as it comes. */
const address = new URLSearchParams(location.search).get('address') ?? location.origin
const subscription = connect(address).subscribe<Note>('notes', { resume: 'record' })
const note = (text: string | undefined) => {
  const recorded: string[] = JSON.parse(sessionStorage.getItem('recorded') ?? '[]')
  sessionStorage.setItem('recorded', JSON.stringify([...recorded, text]))
}
subscription.on('event', ({ value }) => note(value?.text))
subscription.on('gap', ({ reason }) => note(`gap: ${reason}`))
subscription.on('subscribed', () => document.querySelector('#state')?.append('subscribed'))
