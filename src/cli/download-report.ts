import type { DownloadProgress } from '../embedding/models/download.ts'
import type { Log } from '../telemetry/index.ts'
import { formatBytes } from './table.ts'
import type { Terminal } from './terminal.ts'

export type ReportDownload = (progress: DownloadProgress) => void

/** Where nobody watches, a line is written this often. */
const lineEveryMs = 5_000
/** A redrawn line changes no more often than eyes can follow. */
const redrawEveryMs = 100
const barWidth = 20

/** Shows how far the download of a model is: redrawn in place on a terminal, elsewhere in lines, to the log if there is one. */
export function downloadReport(terminal: Terminal, log?: Log): ReportDownload {
  const say = (text: string) => (log === undefined ? terminal.note(text) : log.info(text))
  let began: { readonly at: number; readonly done: number } | undefined
  let shownAt = Number.NEGATIVE_INFINITY
  let saidAt = Number.NEGATIVE_INFINITY
  return (progress) => {
    const now = performance.now()
    began ??= { at: now, done: progress.done }
    if (progress.finished) {
      terminal.progress('')
      if (progress.total > 0) say(`downloaded the model ${progress.model}, ${formatBytes(progress.total)}`)
      began = undefined
      return
    }
    if (now - shownAt < redrawEveryMs) return
    shownAt = now
    const line = describe(progress, (progress.done - began.done) / Math.max((now - began.at) / 1_000, 0.001))
    terminal.progress(fitted(`${bar(progress)} ${line}`, terminal.columns))
    if (terminal.interactive || now - saidAt < lineEveryMs) return
    saidAt = now
    say(`downloading the model ${line}`)
  }
}

/** `owner/name  45 %, 60 MB of 133 MB, 12.3 MB/s, 6 s left` */
function describe({ model, done, total }: DownloadProgress, bytesPerSecond: number): string {
  const percent = total === 0 ? 0 : Math.floor((done / total) * 100)
  const parts = [`${model}  ${percent} %`, `${formatBytes(done)} of ${formatBytes(total)}`]
  if (bytesPerSecond > 0) {
    parts.push(`${formatBytes(bytesPerSecond)}/s`, `${formatSeconds((total - done) / bytesPerSecond)} left`)
  }
  return parts.join(', ')
}

function bar({ done, total }: DownloadProgress): string {
  const filled = total === 0 ? 0 : Math.floor((done / total) * barWidth)
  return `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}`
}

function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds)
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}

/** A line that is longer than the screen could not be redrawn in place. */
function fitted(line: string, columns: number): string {
  return columns === 0 || line.length < columns ? line : line.slice(0, columns - 1)
}
