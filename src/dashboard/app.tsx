import { useEffect, useState } from 'preact/hooks'
import type { Client } from '../client/index.ts'
import { Dashboard } from './dashboard.tsx'
import { TokenForm } from './parts/token-form.tsx'
import { Wordmark } from './parts/wordmark.tsx'
import { ClientContext, openClient, storedToken, storeToken } from './session.ts'

/** The dashboard, or the question for a token when the server wants one. */
export function App() {
  const [token, setToken] = useState(storedToken)
  const [refused, setRefused] = useState(false)
  const [client, setClient] = useState<Client | undefined>(undefined)
  useEffect(() => {
    const opened = openClient(token, () => setRefused(true))
    setClient(opened)
    return () => opened.close()
  }, [token])
  if (refused) {
    const enter = (entered: string) => {
      storeToken(entered)
      setToken(entered)
      setRefused(false)
    }
    return (
      <main class="gate">
        <Wordmark flowing={false} />
        <TokenForm refused={token !== undefined} onToken={enter} />
      </main>
    )
  }
  if (!client) return null
  return (
    <ClientContext.Provider value={client}>
      <Dashboard />
    </ClientContext.Provider>
  )
}
