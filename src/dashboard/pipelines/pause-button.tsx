import { useState } from 'preact/hooks'
import type { Pipeline } from '../api.ts'
import { Problem } from '../parts/problem.tsx'
import { useClient } from '../session.ts'

/** Pauses; lets a paused pipeline go on, and a failed one try again. */
export function PauseButton({ pipeline: { name, state } }: { readonly pipeline: Pipeline }) {
  const client = useClient()
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(undefined)
  if (state === 'finished') return null
  const action = state === 'paused' || state === 'failed' ? 'resume' : 'pause'
  const act = async () => {
    setBusy(true)
    setError(undefined)
    try {
      await client.request(`/v1/pipelines/${encodeURIComponent(name)}/${action}`, { method: 'POST' })
    } catch (problem) {
      setError(problem)
    } finally {
      setBusy(false)
    }
  }
  const word = state === 'failed' ? 'Try again' : action === 'resume' ? 'Resume' : 'Pause'
  return (
    <>
      <button type="button" class="small" disabled={busy} aria-label={`${word}: ${name}`} onClick={() => void act()}>
        {word}
      </button>
      {error !== undefined && <Problem error={error} />}
    </>
  )
}
