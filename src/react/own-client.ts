import { useEffect, useRef, useState } from 'react'
import { type Client, type ConnectOptions, connect } from '../client/index.ts'

/** Clients whose component has gone, until they are closed. */
const leaving = new WeakMap<Client, ReturnType<typeof setTimeout>>()

/** A client of this address, closed when the component is gone. Options count as they are when it is made. */
export function useOwnClient(address: string, options: ConnectOptions): Client {
  const latest = useRef(options)
  const [made, setMade] = useState(() => ({ address, client: connect(address, options) }))
  const current = made.address === address ? made : { address, client: connect(address, options) }
  if (current !== made) setMade(current)
  const { client } = current
  useEffect(() => {
    latest.current = options
  })
  useEffect(() => {
    clearTimeout(leaving.get(client))
    // What React hides for a while and then shows again finds its client closed.
    if (client.state === 'closed') setMade({ address, client: connect(address, latest.current) })
    return () => {
      // React may take a component off and put it back at once.
      const timer = setTimeout(() => client.close())
      leaving.set(client, timer)
    }
  }, [address, client])
  return client
}
