/** A page that is hidden is given no frames; it is drawn so often nevertheless. */
const hiddenMs = 100
const withoutFramesMs = 16

/**
 * Calls back once, with the next frame of the page: however much changes until then is drawn together. Answers what
 * calls it off.
 */
export function nextFrame(draw: () => void): () => void {
  let pending = true
  const stop = () => {
    pending = false
    clearTimeout(timer)
  }
  const once = () => {
    if (!pending) return
    stop()
    draw()
  }
  const platform: object = globalThis
  const timer = setTimeout(once, hasFrames(platform) ? hiddenMs : withoutFramesMs)
  if (hasFrames(platform)) platform.requestAnimationFrame(once)
  return stop
}

function hasFrames(platform: object): platform is { requestAnimationFrame(draw: () => void): number } {
  return 'requestAnimationFrame' in platform && typeof platform.requestAnimationFrame === 'function'
}
