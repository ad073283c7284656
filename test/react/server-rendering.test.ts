import { createElement, StrictMode } from 'react'
import { renderToString } from 'react-dom/server'
import { expect, test, vi } from 'vitest'
import { connect } from '../../src/client/index.ts'
import {
  MillraceProvider,
  type MillraceProviderProps,
  useChannel,
  useConnection,
  useFollow,
  useLatest,
  useLiveQuery,
  usePresence,
  usePublish,
} from '../../src/react/index.ts'

function Everything() {
  const shown = {
    connection: useConnection(),
    channel: useChannel('tickets', { since: { last: 20 } }),
    none: useChannel(undefined).state,
    latest: [...useLatest('tickets').latest],
    query: useLiveQuery('by-region', { least: 1 }),
    presence: usePresence('tickets', { name: 'ann' }).members,
    follow: useFollow<{ id: string }>('tickets', { snapshot: async () => [], item: ({ id }) => ({ id }) }).loading,
    publish: typeof usePublish('tickets'),
  }
  return JSON.stringify(shown)
}

const asTold = {
  connection: 'idle',
  channel: { state: 'connecting', events: [] },
  none: 'connecting',
  latest: [],
  query: { state: 'connecting', loading: true, columns: [], rows: [] },
  presence: [],
  follow: true,
  publish: 'function',
}

function render(props: MillraceProviderProps): unknown {
  const page = renderToString(
    createElement(StrictMode, {}, createElement(MillraceProvider, props, createElement(Everything))),
  )
  return JSON.parse(page.replaceAll('&quot;', '"'))
}

test('on a server there is nothing yet, and nothing is asked for', () => {
  const WebSocket = vi.fn()
  const fetch = vi.fn()
  expect(render({ address: 'http://127.0.0.1:1', token: 'a token', WebSocket, fetch })).toEqual(asTold)
  const client = connect('http://127.0.0.1:1', { WebSocket, fetch })
  expect(render({ client })).toEqual(asTold)
  expect(client.state).toBe('idle')
  expect(WebSocket).not.toHaveBeenCalled()
  expect(fetch).not.toHaveBeenCalled()
})

test('a hook without a provider says what is missing', () => {
  expect(() => renderToString(createElement(Everything))).toThrow('No MillraceProvider')
})
