import { historySeconds } from '../pipeline-feed.ts'

interface Props {
  /** One a second, oldest first. */
  readonly values: readonly number[]
  readonly label: string
  readonly kind: 'rate' | 'lag'
}

const height = 24
const room = 2
/** What fills the height at least, so that an event more or less does not look like much. */
const fullScale = { rate: 1, lag: 20 }

/** The last minute; the newest value is at the right edge, however few there are. */
export function Sparkline({ values, label, kind }: Props) {
  const most = Math.max(fullScale[kind], ...values.map((value) => value * 1.15))
  const x = (index: number) => historySeconds - values.length + 1 + index
  const y = (value: number) => height - room - (value / most) * (height - 2 * room)
  const line = values.map((value, index) => `${x(index)} ${y(value).toFixed(2)}`).join('L')
  return (
    <svg
      class={`sparkline ${kind}`}
      viewBox={`1 0 ${historySeconds - 1} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {values.length > 1 && (
        <>
          <path class="area" d={`M${x(0)} ${height}L${line}L${historySeconds} ${height}Z`} />
          <path class="line" d={`M${line}`} />
        </>
      )}
    </svg>
  )
}
