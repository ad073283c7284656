import { setTimeout as delay } from 'node:timers/promises'
import { Fatal, Fenced, InvalidInput, Retryable } from '../core/errors.ts'

export interface RetryOptions {
  readonly signal: AbortSignal
  /** Whether an error that carries no class of its own is worth another try. Outside systems: yes. Our own code: no. */
  readonly retryUnknown: boolean
  /** Told before every wait, and once more without an error when a later try went well. */
  readonly report: (error: unknown) => void
}

const firstDelayMs = 50
const longestDelayMs = 10_000

/**
 * Repeats `attempt` until it succeeds, the error is final, or the signal fires. Waits with full jitter
 * (AWS Architecture Blog, "Exponential Backoff And Jitter"), and never less than the error asks for.
 */
export async function retry<T>(attempt: () => Promise<T>, { signal, retryUnknown, report }: RetryOptions): Promise<T> {
  for (let tries = 0; ; tries++) {
    signal.throwIfAborted()
    try {
      const result = await attempt()
      if (tries > 0) report(undefined)
      return result
    } catch (error) {
      signal.throwIfAborted()
      if (!isRetryable(error, retryUnknown)) throw error
      report(error)
      const ceiling = Math.min(longestDelayMs, firstDelayMs * 2 ** tries)
      const asked = error instanceof Retryable ? (error.delayMs ?? 0) : 0
      await delay(Math.max(asked, Math.random() * ceiling), undefined, { signal })
    }
  }
}

function isRetryable(error: unknown, retryUnknown: boolean): boolean {
  if (error instanceof Retryable) return true
  if (error instanceof Fatal || error instanceof Fenced || error instanceof InvalidInput) return false
  return retryUnknown
}
