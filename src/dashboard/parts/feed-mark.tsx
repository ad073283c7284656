interface Props {
  readonly live: boolean
  /** The server has refused. */
  readonly failed: boolean
  readonly paused?: boolean
}

/** Whether what is shown is kept up to date. */
export function FeedMark({ live, failed, paused = false }: Props) {
  const [kind, word] = failed
    ? ['failed', 'refused']
    : !live
      ? ['starting', 'connecting']
      : paused
        ? ['paused', 'paused']
        : ['running', 'live']
  return (
    <span class={`state ${kind}`} role="status">
      {word}
    </span>
  )
}
