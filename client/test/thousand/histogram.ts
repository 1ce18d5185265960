// How a crowd comes back. The rule: what is judged is the fullest second, wherever it begins.

export interface Arrivals {
  /** The most in any second. */
  readonly fullest: number
  /** From the first to the last, in seconds. */
  readonly seconds: number
}

/** Looks at times in milliseconds. */
export function judge(times: readonly number[]): Arrivals {
  const sorted = [...times].sort((one, other) => one - other)
  let fullest = 0
  let from = 0
  sorted.forEach((time, until) => {
    while (time - (sorted[from] ?? time) >= 1_000) from++
    fullest = Math.max(fullest, until - from + 1)
  })
  return { fullest, seconds: ((sorted.at(-1) ?? 0) - (sorted[0] ?? 0)) / 1_000 }
}

/** One line per second since `began`, as text. */
export function histogram(times: readonly number[], began: number): string {
  const counts: number[] = []
  for (const time of times) {
    const second = Math.floor((time - began) / 1_000)
    counts[second] = (counts[second] ?? 0) + 1
  }
  return Array.from(counts, (count = 0, second) => {
    return `${String(second).padStart(4)} s ${String(count).padStart(5)} ${'#'.repeat(Math.round(count / 10))}`
  }).join('\n')
}
