import { useState } from 'preact/hooks'

interface Props {
  /** A token was given already, and the server refused it. */
  readonly refused: boolean
  readonly onToken: (token: string) => void
}

export function TokenForm({ refused, onToken }: Props) {
  const [token, setToken] = useState('')
  return (
    <form
      class="panel token-form"
      onSubmit={(event) => {
        event.preventDefault()
        if (token.trim() !== '') onToken(token.trim())
      }}
    >
      <h2>This server needs a token</h2>
      <p class="muted">
        It is what the server was started with (<code>server.token</code> in its <code>millrace.yaml</code>, or{' '}
        <code>MILLRACE_SERVER_TOKEN</code>), or one of yours that it trusts. It is kept in this tab until you close it.
      </p>
      {refused && (
        <p class="problem" role="alert">
          The server does not accept the token that you entered, or it has expired.
        </p>
      )}
      <label>
        Token
        <input
          type="password"
          autoComplete="current-password"
          value={token}
          onInput={({ currentTarget }) => setToken(currentTarget.value)}
        />
      </label>
      <button type="submit" class="primary">
        Open the dashboard
      </button>
    </form>
  )
}
