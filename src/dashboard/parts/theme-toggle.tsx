import { useEffect, useState } from 'preact/hooks'

type Theme = 'light' | 'dark'
const key = 'millrace-theme'
const dark = () => matchMedia('(prefers-color-scheme: dark)')

function storedTheme(): Theme | undefined {
  const stored = localStorage.getItem(key)
  return stored === 'light' || stored === 'dark' ? stored : undefined
}

/** Follows the system until someone chooses; choosing what the system has goes back to following it. */
export function ThemeToggle() {
  const [system, setSystem] = useState<Theme>(dark().matches ? 'dark' : 'light')
  const [chosen, setChosen] = useState(storedTheme)
  useEffect(() => {
    const query = dark()
    const changed = () => setSystem(query.matches ? 'dark' : 'light')
    query.addEventListener('change', changed)
    return () => query.removeEventListener('change', changed)
  }, [])
  useEffect(() => {
    if (chosen) document.documentElement.dataset.theme = chosen
    else delete document.documentElement.dataset.theme
    if (chosen) localStorage.setItem(key, chosen)
    else localStorage.removeItem(key)
  }, [chosen])
  const other = (chosen ?? system) === 'dark' ? 'light' : 'dark'
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={`Switch to ${other} colours`}
      title={`Switch to ${other} colours`}
      onClick={() => setChosen(other === system ? undefined : other)}
    >
      <svg viewBox="0 0 20 20" aria-hidden="true">
        <circle cx="10" cy="10" r="6.5" />
        <path d="M10 3.500a6.5 6.5 0 0 1 0 13z" class="filled" />
      </svg>
    </button>
  )
}
