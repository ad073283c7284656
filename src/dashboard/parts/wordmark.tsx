/** A mill wheel over its race. It turns while events flow. */
export function Wordmark({ flowing }: { readonly flowing: boolean }) {
  return (
    <span class="wordmark">
      <svg class={flowing ? 'wheel flowing' : 'wheel'} viewBox="0 0 32 32" aria-hidden="true">
        <g class="wheel-turning">
          <circle cx="16" cy="13" r="8" />
          <path d="M16 2.500v21M5.5 13h21M8.6 5.600l14.8 14.800M23.4 5.6 8.6 20.4" />
        </g>
        <path class="wheel-race" d="M1.5 28.500c3.6-2.6 6.5-2.6 9.7 0s6.1 2.6 9.6 0 6.1-2.6 9.7 0" />
      </svg>
      <span class="wordmark-text">Millrace</span>
    </span>
  )
}
