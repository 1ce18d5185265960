// Waiting. The rule: for a condition and with a deadline, never for a length of time; clocks that a test has stopped do not
// matter.

/** Resolves once the condition holds; rejects after `deadline` milliseconds, with what was waited for. */
export async function until(condition: () => unknown, what: string, deadline = 10_000): Promise<void> {
  const start = performance.now()
  while (!condition()) {
    if (performance.now() - start > deadline) throw new Error(`waited ${deadline} ms in vain for: ${what}`)
    await new Promise<void>(resolve => setImmediate(resolve))
  }
}
