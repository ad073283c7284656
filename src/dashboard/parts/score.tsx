/** Cosine similarity as a bar and a figure. */
export function Score({ score }: { readonly score: number }) {
  return (
    <span class="score" title={`Cosine similarity ${score.toFixed(3)}`}>
      <svg viewBox="0 0 40 4" aria-hidden="true">
        <rect class="score-track" width="40" height="4" rx="2" />
        <rect class="score-value" width={Math.max(2, Math.min(1, score) * 40)} height="4" rx="2" />
      </svg>
      {score.toFixed(2)}
    </span>
  )
}
