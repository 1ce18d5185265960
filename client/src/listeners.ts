// Telling whoever listens. The rule: a listener that throws costs nobody else anything, and its error stays to be seen.

export class Listeners<T> {
  readonly #all = new Set<(value: T) => void>()

  /** Listens until the returned function is called; the same listener may be added twice. */
  add(listener: (value: T) => void): () => void {
    const own = (value: T) => listener(value)
    this.#all.add(own)
    return () => void this.#all.delete(own)
  }

  tell(value: T): void {
    for (const listener of this.#all) {
      try {
        listener(value)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
