import type { Pipeline } from '../api.ts'
import { formatCount, formatMs, formatRate } from '../format.ts'
import { Sparkline } from '../parts/sparkline.tsx'
import type { Sample } from '../pipeline-feed.ts'

export function RateFigure({ rate, history }: { readonly rate: number; readonly history: readonly Sample[] }) {
  const rates = history.map((sample) => sample.rate)
  const label = `Rate over the last minute: ${range(rates, formatRate)} events a second`
  return (
    <div class="figure">
      <dt>Rate</dt>
      <dd>
        {formatRate(rate)} <small>/s</small>
      </dd>
      <dd>
        <Sparkline kind="rate" values={rates} label={label} />
      </dd>
    </div>
  )
}

export function LagFigure({ lag, history }: { readonly lag: number; readonly history: readonly Sample[] }) {
  const lags = history.map((sample) => sample.lag)
  const label = `Lag over the last minute: ${range(lags, formatCount)} events`
  return (
    <div class="figure">
      <dt>Lag</dt>
      <dd>
        {formatCount(lag)} <small>{trend(lags)}</small>
      </dd>
      <dd>
        <Sparkline kind="lag" values={lags} label={label} />
      </dd>
    </div>
  )
}

/** Only sinks that take events one by one have one. */
export function LatencyFigure({ latency }: { readonly latency: Pipeline['latency'] }) {
  return (
    <div class="figure">
      <dt>Latency</dt>
      {latency ? (
        <>
          <dd>
            {formatMs(latency.p50)} <small>p50</small>
          </dd>
          <dd>
            {formatMs(latency.p99)} <small>p99</small>
          </dd>
        </>
      ) : (
        <dd class="none" title="No event in the last minute, or no sink that takes events one by one">
          –
        </dd>
      )}
    </div>
  )
}

function range(values: readonly number[], format: (value: number) => string): string {
  if (values.length === 0) return 'no'
  return `${format(Math.min(...values))} to ${format(Math.max(...values))}`
}

const trendSeconds = 10

/** Whether lag of the last seconds is clearly more or less than that of the seconds before; an open block is neither. */
function trend(lags: readonly number[]): string {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  if (lags.length < 2 * trendSeconds) return ''
  const now = mean(lags.slice(-trendSeconds))
  const before = mean(lags.slice(-2 * trendSeconds, -trendSeconds))
  const change = now - before
  if (Math.abs(change) < Math.max(10, before * 0.1)) return 'steady'
  return change > 0 ? 'growing' : 'shrinking'
}
