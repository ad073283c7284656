import type { Writable } from 'node:stream'
import { z } from 'zod'
import { type AnySink, defineSink, type EventSink } from '../src/core/component.ts'
import { errorCode, errorMessage, Fatal } from '../src/core/errors.ts'
import type { Event } from '../src/core/event.ts'

/** The sink that prints, to the given stream. */
export function consoleSinkTo(output: Writable): AnySink {
  return defineSink({
    kind: 'sink',
    name: 'console',
    summary: 'Prints each event as a line of JSON. After a crash some may be printed again.',
    example: 'console: {}',
    options: z.strictObject({}),
    create(): EventSink {
      return {
        takes: 'events',
        async write(events) {
          if (events.length > 0) await print(output, events.map(toLine).join(''))
          return []
        },
      }
    },
  })
}

export const consoleSink = consoleSinkTo(process.stdout)

function toLine({ id, key, value, headers, timestamp, position }: Event): string {
  return `${JSON.stringify({ id, key, value, headers, timestamp, ...position })}\n`
}

/** Waits until the text is handed over, so that a slow reader slows the pipeline and not its memory. */
function print(output: Writable, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    output.write(text, (error) => {
      if (error === null || error === undefined) resolve()
      else
        reject(
          new Fatal({
            code: errorCode(error) ?? 'console_failed',
            message: `Cannot print: ${errorMessage(error)}`,
          }),
        )
    })
  })
}
