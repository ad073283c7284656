import { Bell } from './bell.ts'

const firstMs = 50
const longestMs = 2000

/** Waits longer with each failure, with jitter; until the signal fires at most. */
export async function backOff(failures: number, signal: AbortSignal): Promise<void> {
  const ceiling = Math.min(longestMs, firstMs * 2 ** failures)
  await pause(ceiling * (0.5 + Math.random() / 2), signal)
}

/** Resolves when the time is over or the signal fires. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await new Bell().next([signal], milliseconds)
}

/** Fails like a request that timed out if no answer has come by then. */
export async function within<T>(answer: Promise<T>, milliseconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const error = Object.assign(new Error('no answer in time'), { name: 'KafkaJSRequestTimeoutError' })
    timer = setTimeout(() => reject(error), milliseconds)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
