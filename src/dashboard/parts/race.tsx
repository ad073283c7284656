/** The water that runs off the wheel: a line across the page. */
export function Race() {
  return (
    <svg class="race" aria-hidden="true">
      <pattern id="race-wave" width="48" height="8" patternUnits="userSpaceOnUse">
        <path d="M0 4c8-3.4 16-3.4 24 0s16 3.4 24 0" />
      </pattern>
      <rect width="100%" height="8" fill="url(#race-wave)" />
    </svg>
  )
}
