export interface ConditionValues {
  readonly similar: string
  /** Least cosine similarity to `similar`. */
  readonly minScore: number
  readonly filter: string
}
export const noConditions: ConditionValues = { similar: '', minScore: 0.3, filter: '' }

interface Props {
  readonly conditions: ConditionValues
  readonly onChange: (conditions: ConditionValues) => void
}

/** Which events of the channel to show: by meaning, and by an expression. */
export function Conditions({ conditions, onChange }: Props) {
  const { similar, minScore, filter } = conditions
  const change = (part: Partial<ConditionValues>) => {
    const next = { ...conditions, ...part }
    onChange(next.similar === '' && next.filter === '' ? noConditions : next)
  }
  return (
    <div class="conditions">
      <label>
        <span class="field-name">Similar to</span>
        <input
          type="search"
          placeholder="a refund that did not arrive"
          value={similar}
          onInput={({ currentTarget }) => change({ similar: currentTarget.value })}
        />
      </label>
      <label>
        <span class="field-name">Filter (CEL)</span>
        <input
          type="search"
          class="mono"
          spellcheck={false}
          autoCapitalize="off"
          placeholder={'value.plan == "team"'}
          value={filter}
          onInput={({ currentTarget }) => change({ filter: currentTarget.value })}
        />
      </label>
      {similar !== '' && (
        <label class="threshold">
          <span class="field-name">Score at least {minScore.toFixed(2)}</span>
          <input
            type="range"
            min="0"
            max="0.9"
            step="0.05"
            value={minScore}
            onInput={({ currentTarget }) => change({ minScore: currentTarget.valueAsNumber })}
          />
        </label>
      )}
    </div>
  )
}
