// Whether a socket that looks alive is alive. The rule: silence is answered with a ping, and only a ping that stays
// unanswered ends the socket; a timer that fires late (a hidden tab, a machine that slept) proves nothing and asks again.

/** How long nothing may come before a ping asks, in milliseconds. */
const SILENCE = 25_000
/** How long the answer may take. */
const ANSWER = 10_000
/** How long it may take when there is a reason to doubt: the page woke, the network changed. */
const DOUBT = 5_000
/** A timer later than this was held back, and frames with it. */
const LATE = 2_000

export class Heartbeat {
  #timer: ReturnType<typeof setTimeout> | undefined
  #heardAt = Date.now()
  /** When a question that is open must be answered; 0: none is. Not told by clocks, which are coarse in some browsers. */
  #due = 0

  readonly #ping: () => void
  readonly #dead: () => void

  constructor(ping: () => void, dead: () => void) {
    this.#ping = ping
    this.#dead = dead
    this.#listen()
  }

  /** Something came. Cheap: no timer is touched. */
  heard(): void {
    this.#heardAt = Date.now()
    this.#due = 0
  }

  /** Asks now. */
  doubt(): void {
    // Asked again and again, a dead socket would live for ever.
    if (!this.#due || this.#due > Date.now() + DOUBT) this.#ask(DOUBT)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #listen(): void {
    clearTimeout(this.#timer)
    const left = this.#heardAt + SILENCE - Date.now()
    if (left <= 0) this.#ask(ANSWER)
    else this.#timer = setTimeout(() => this.#listen(), left)
  }

  #ask(patience: number): void {
    clearTimeout(this.#timer)
    const due = Date.now() + patience
    this.#due = due
    this.#ping()
    this.#timer = setTimeout(() => {
      if (!this.#due) this.#listen()
      else if (Date.now() > due + LATE) this.#ask(patience)
      else this.#dead()
    }, patience)
  }
}
