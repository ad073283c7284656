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
  const [opened, setOpened] = useState<{ readonly client: Client; readonly token: string | undefined } | undefined>()
  useEffect(() => {
    let current = true
    // What is still under way with the token before says nothing of this one.
    const client = openClient(token, () => {
      if (current) setRefused(true)
    })
    setOpened({ client, token })
    return () => {
      current = false
      client.close()
    }
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
  if (!opened || opened.token !== token) return null
  return (
    <ClientContext.Provider value={opened.client}>
      <Dashboard />
    </ClientContext.Provider>
  )
}
