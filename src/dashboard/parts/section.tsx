import type { ComponentChildren } from 'preact'

interface Props {
  readonly id: string
  readonly title: string
  /** Beside the title: what it has to do with. */
  readonly aside?: ComponentChildren
  readonly children: ComponentChildren
}

export function Section({ id, title, aside, children }: Props) {
  return (
    <section class={`panel ${id}`} aria-labelledby={`${id}-title`}>
      <header class="panel-head">
        <h2 id={`${id}-title`}>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  )
}
