interface Props {
  readonly label: string
  readonly options: readonly string[]
  readonly chosen: string | undefined
  readonly onChoose: (option: string) => void
}

/** One of a few names. */
export function Picker({ label, options, chosen, onChoose }: Props) {
  return (
    <label class="picker">
      <span class="visually-hidden">{label}</span>
      <select
        value={chosen ?? ''}
        disabled={options.length === 0}
        onChange={({ currentTarget }) => onChoose(currentTarget.value)}
      >
        {options.length === 0 && <option value="">{`no ${label.toLowerCase()} yet`}</option>}
        {options.map((option) => (
          <option key={option} value={option}>
            {option}
          </option>
        ))}
      </select>
    </label>
  )
}
