import type RequestQueue from 'kafkajs/src/network/requestQueue/index.js'

const quieted = new WeakSet<object>()
const waitMs = 10

/**
 * In kafkajs 2.2.4 every connection re-arms a timer of about a millisecond for ever, also when nothing is to be sent: three
 * idle connections take a quarter of a core. Here the timer runs only while a request waits, which is all it is for.
 */
export function quietQueues(prototype: RequestQueue): void {
  if (quieted.has(prototype)) return
  quieted.add(prototype)
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return
    const throttled = this.throttledUntil - Date.now()
    this.throttleCheckTimeoutId = setTimeout(
      () => {
        this.throttleCheckTimeoutId = null
        this.checkPendingRequests()
      },
      throttled > 0 ? throttled : waitMs,
    )
  }
}
