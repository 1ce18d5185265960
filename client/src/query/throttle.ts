// When derived data is fetched again. The rule: never more than one run waits, runs keep their distance, and many
// browsers that saw the same change do not run in the same moment.

export interface Throttle {
  /** Something changed: a run follows. */
  call(): void
  /** As `call`, but the run takes its full time from now, so that what comes at once with it is part of it. */
  restart(): void
  /** Drops the run that waits. */
  cancel(): void
}

/**
 * Runs `run` after a call, half of `distance` to all of it later, and not sooner than `distance` after the last run.
 * Always later and never at once: a change of something popular is seen by everybody within milliseconds.
 */
export function throttle(run: () => void, distance: number): Throttle {
  let timer: ReturnType<typeof setTimeout> | undefined
  let last = Number.NEGATIVE_INFINITY

  const call = () => {
    if (timer !== undefined) return
    const spread = (distance / 2) * (1 + Math.random())
    const apart = last + distance - performance.now()
    timer = setTimeout(
      () => {
        timer = undefined
        last = performance.now()
        run()
      },
      Math.max(spread, apart),
    )
  }
  const cancel = () => {
    clearTimeout(timer)
    timer = undefined
  }
  return {
    call,
    restart: () => {
      cancel()
      call()
    },
    cancel,
  }
}
