// When listeners hear of changes. The rule: once per animation frame, however many messages came; where there are no frames
// (a hidden page, a server), by a timer.

import { isHidden } from './wake'

/** Calls `flush` once, at the next frame, however often the returned function is called before. */
export function oncePerFrame(flush: () => void): () => void {
  let scheduled = false
  const run = () => {
    scheduled = false
    flush()
  }
  return () => {
    if (scheduled) return
    scheduled = true
    if (typeof requestAnimationFrame === 'function' && !isHidden()) {
      // A page that is hidden before the frame comes gets none: whichever is first counts.
      let frame = 0
      const timer = setTimeout(() => {
        cancelAnimationFrame(frame)
        run()
      }, 250)
      frame = requestAnimationFrame(() => {
        clearTimeout(timer)
        run()
      })
    } else {
      setTimeout(run, 50)
    }
  }
}
