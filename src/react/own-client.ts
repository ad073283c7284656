import { useEffect, useRef, useState } from 'react'
import { type Client, type ConnectOptions, connect } from '../client/index.ts'

/** Of a server, such as `https://live.example.com`, or of several of one service. */
export type Address = Parameters<typeof connect>[0]

/** Clients whose component has gone, until they are closed. */
const leaving = new WeakMap<Client, ReturnType<typeof setTimeout>>()

/**
 * A client that is closed when the component has gone. Another address or another token is another client; a function
 * for tokens may be another one at each render, and the latest is asked. Other options count as they are at first.
 */
export function useOwnClient(address: Address, options: ConnectOptions): Client {
  const { token } = options
  const latest = useRef(token)
  useEffect(() => {
    latest.current = token
  })
  const open = (): Client => {
    if (typeof token !== 'function') return connect(address, options)
    return connect(address, {
      ...options,
      token: () => (typeof latest.current === 'function' ? latest.current() : token()),
    })
  }
  const key = JSON.stringify([address, token])
  const [made, setMade] = useState(() => ({ key, client: open() }))
  const current = made.key === key ? made : { key, client: open() }
  if (current !== made) setMade(current)
  const { client } = current
  useEffect(() => {
    clearTimeout(leaving.get(client))
    // What React hides for a while and then shows again finds its client closed: it will not do for any key.
    if (client.state === 'closed') setMade({ key: '', client })
    return () => {
      // React may take a component off and put it back at once.
      const timer = setTimeout(() => client.close())
      leaving.set(client, timer)
    }
  }, [client])
  return client
}
