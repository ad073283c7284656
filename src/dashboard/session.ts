import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import { type Client, connect } from '../client/index.ts'

const tokenKey = 'millrace-token'

/** The token that was entered in this tab. */
export function storedToken(): string | undefined {
  return sessionStorage.getItem(tokenKey) ?? undefined
}

export function storeToken(token: string): void {
  sessionStorage.setItem(tokenKey, token)
}

/** A client of the server that the page came from. `refused` is called whenever it wants another token. */
export function openClient(token: string | undefined, refused: () => void): Client {
  return connect(location.origin, {
    token,
    fetch: async (input, init) => {
      const response = await fetch(input, init)
      if (response.status === 401) refused()
      return response
    },
  })
}

export const ClientContext = createContext<Client | undefined>(undefined)

export function useClient(): Client {
  const client = useContext(ClientContext)
  if (!client) throw new Error('This part of the page is used outside of ClientContext.')
  return client
}
