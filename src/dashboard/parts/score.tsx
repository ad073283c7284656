interface Props {
  readonly score: number
  /** How much of it is due to words; left out where meaning alone was compared. */
  readonly byWords?: number | undefined
}

/** A score as a bar and a figure: the cosine similarity, or how meaning and words add up. */
export function Score({ score, byWords }: Props) {
  const width = (part: number) => Math.max(2, Math.min(1, part) * 40)
  const byMeaning = score - (byWords ?? 0)
  const title =
    byWords === undefined
      ? `Cosine similarity ${score.toFixed(3)}`
      : `${byMeaning.toFixed(3)} by meaning, ${byWords.toFixed(3)} by words`
  return (
    <span class="score" title={title}>
      <svg viewBox="0 0 40 4" aria-hidden="true">
        <rect class="score-track" width="40" height="4" rx="2" />
        {byWords !== undefined && byWords > 0 && <rect class="score-words" width={width(score)} height="4" rx="2" />}
        <rect class="score-value" width={width(byMeaning)} height="4" rx="2" />
      </svg>
      {score.toFixed(2)}
    </span>
  )
}
