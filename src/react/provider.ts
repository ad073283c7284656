import { createContext, createElement, type ReactNode, useContext } from 'react'
import type { Client, ConnectOptions } from '../client/index.ts'
import { type Address, useOwnClient } from './own-client.ts'

interface FromAddress extends ConnectOptions {
  readonly address: Address
  readonly children?: ReactNode
}

interface FromClient {
  readonly client: Client
  readonly children?: ReactNode
}

export type MillraceProviderProps = FromAddress | FromClient

const Context = createContext<Client | undefined>(undefined)

/** The client of the nearest `MillraceProvider`. */
export function useMillrace(): Client {
  const client = useContext(Context)
  if (!client) throw new Error('No MillraceProvider is around this component: put one at the top of the page.')
  return client
}

/**
 * The client for the hooks below it. A given one stays yours to close; one that is made from an address and the options
 * of `connect` is closed with the provider. Nothing connects before a hook asks for something, and never on a server.
 */
export function MillraceProvider(props: MillraceProviderProps): ReactNode {
  if ('client' in props) return createElement(Context.Provider, { value: props.client }, props.children)
  return createElement(OwnClient, props)
}

function OwnClient({ address, children, ...options }: FromAddress): ReactNode {
  return createElement(Context.Provider, { value: useOwnClient(address, options) }, children)
}
