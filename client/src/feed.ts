// Where the values of one scope come from: a socket, and polls while there is none. The rule: one attempt at a time is under
// way, every failure leads to exactly one next step, and what is given up says why.

import { afterClose, backoff, later } from './backoff'
import { createError } from './error'
import type { Resolved } from './options'
import type { Poller, Unanswered } from './poller'
import { Polls } from './polls'
import { Renewal } from './renewal'
import { Socket } from './socket'
import { subscriptionMessages } from './subscription'
import { expiryOf, type Tokens } from './tokens'
import type { AnalyticsError, Source, Status, TokenContext } from './types'
import type { Change, ReadContent } from './wire'
import type { ServerMessage } from './wire.gen'

/** A connection that lived this long, in milliseconds, was a good one: the next wait is a first one again. */
const GOOD = 10_000
/** The first poll comes within this time after the socket was lost, in milliseconds. */
const FIRST_POLL = 2_000
/** Or when an attempt takes longer than this, in milliseconds: whatever it hangs on, the page is not to wait for it. */
const HESITATION = 3_000
/** How long an edge may take to answer a subscription, in milliseconds. What accepts a socket need not be one. */
const ANSWER = 10_000
/** An id of which the edge said nothing for so long after `subscribed`, in milliseconds, was never counted. */
const SILENT = 1_000

/** What the feed tells its view, and asks of it. */
export interface FeedOwner {
  ids(): string[]
  interval(): number
  take(change: Change, source: Source): void
  takeAnswer(answer: ReadContent): void
  rebase(base: number): void
  /** All that there is to tell of these ids was told. */
  confirm(ids: readonly string[]): void
  /** The scope that the edge filled in is another than before. */
  rescope(): void
  simulate(): void
  /** Real values are to be had again. */
  settle(): void
  changed(): void
}

type Timer = ReturnType<typeof setTimeout> | undefined

export class Feed {
  status: Status = 'idle'
  source: Source | null = null
  error: AnalyticsError | null = null

  #running = false
  #socket: Socket | null = null
  #open = false
  /** What the open socket was asked for; null before its first message. */
  #asked: Set<string> | null = null
  /** An attempt under way that is not this one is dropped. */
  #attempt = 0
  #inVain = 0
  #liveSince = 0
  /** The token was refused once already. */
  #refused = false
  #base = 0
  #scopeInForce: string | null = null
  #retryTimer: Timer
  #answerTimer: Timer
  /** The edge asked not to come before. */
  #notBefore = 0
  /** When the token ends that the socket was opened with. */
  #tokenEnds: number | null = null
  /** The page was put aside. */
  #parked = false

  readonly #options: Resolved
  /** Without absent members. */
  readonly #scope: { organizationId?: string; clientId?: string }
  readonly #tokens: Tokens
  readonly #poller: Poller
  readonly #owner: FeedOwner
  readonly #renewal: Renewal
  readonly #polls: Polls

  constructor(
    options: Resolved,
    scope: { organizationId?: string; clientId?: string },
    tokens: Tokens,
    poller: Poller,
    owner: FeedOwner,
  ) {
    this.#options = options
    this.#scope = scope
    this.#tokens = tokens
    this.#poller = poller
    this.#owner = owner
    this.#polls = new Polls(poller, {
      ids: () => owner.ids(),
      interval: () => owner.interval(),
      takeAnswer: answer => this.#takeAnswer(answer),
      polled: failed => this.#polled(failed),
    })
    this.#renewal = new Renewal(
      tokens,
      token => this.#socket?.send({ type: 'authenticate', token }),
      error => this.#set(this.status, error as AnalyticsError),
    )
  }

  /** The watched ids are others than before. */
  update(): void {
    const ids = this.#owner.ids()
    if (!ids.length) this.stop()
    else if (!this.#running) this.start()
    else if (this.#open) this.#subscribe()
    else this.#polls.hurry()
  }

  start(): void {
    this.#running = true
    this.#inVain = 0
    this.#refused = false
    if (this.#options.problem) this.#fail(this.#options.problem)
    else void this.#connect('connect')
  }

  stop(): void {
    if (!this.#running) return
    this.#running = false
    this.#drop()
    this.#set('idle', null)
  }

  /** The page is seen again, or somebody asks: now, not later. */
  now(): void {
    if (!this.#running || this.status === 'failed') return
    if (this.#socket) this.#socket.doubt()
    else if ((this.#retryTimer !== undefined && Date.now() >= this.#notBefore) || this.#parked)
      void this.#connect('connect')
    this.#polls.woke()
  }

  doubt(): void {
    this.#socket?.doubt()
  }

  /** Ends the socket; `now` brings it back. */
  park(): void {
    if (!this.#running || this.status === 'failed') return
    this.#drop()
    this.#parked = true
    this.#set('reconnecting')
  }

  reconnect(): void {
    if (!this.#running) return
    this.#drop()
    if (this.status !== 'failed') this.#set(this.status === 'connecting' ? 'connecting' : 'reconnecting')
    this.start()
  }

  async refetch(): Promise<void> {
    if (this.#options.problem) throw this.#options.problem
    const failed = await this.#poller.askAll(this.#owner.ids(), answer => this.#takeAnswer(answer))
    if (failed) throw failed.error
  }

  #set(status: Status, error: AnalyticsError | null = this.error, source: Source | null = this.source): void {
    if (status !== this.status) {
      const say = status === 'failed' || status === 'reconnecting' ? 'warn' : 'info'
      this.#options.logger?.[say](`connection: ${status}`, error ?? undefined)
    }
    this.status = status
    this.error = error
    this.source = source
    this.#owner.changed()
  }

  /** Ends everything that is under way. */
  #drop(): void {
    this.#attempt++
    this.#socket?.close()
    this.#down()
    this.#polls.stop()
  }

  /** There is no socket. */
  #down(): void {
    this.#socket = null
    this.#open = false
    this.#asked = null
    clearTimeout(this.#retryTimer)
    clearTimeout(this.#answerTimer)
    this.#renewal.stop()
    this.#retryTimer = undefined
  }

  #fail(error: AnalyticsError): void {
    this.#drop()
    this.#set('failed', error)
  }

  async #connect(reason: TokenContext['reason']): Promise<void> {
    const attempt = ++this.#attempt
    clearTimeout(this.#retryTimer)
    this.#retryTimer = undefined
    this.#parked = false
    if (this.status === 'idle' || this.status === 'failed') this.#set('connecting', null)
    let token: string | null
    try {
      token = await this.#tokens.get(reason)
    } catch (error) {
      if (attempt === this.#attempt) this.#lost(error as AnalyticsError, backoff(this.#inVain))
      return
    }
    if (attempt !== this.#attempt) return
    if (this.status !== 'live') this.#polls.start(HESITATION)
    this.#options.logger?.debug('connection: opening', this.#options.url)
    try {
      this.#socket = new Socket(this.#options.WebSocket, this.#options.url, token, {
        open: () => this.#opened(token),
        message: message => this.#receive(message),
        garbage: () => this.#options.logger?.warn('a message was not understood'),
        end: (code, text, opened) => void this.#ended(code, text, opened, token),
      })
    } catch (error) {
      // Without its words: they may repeat the token.
      const name = error instanceof Error ? error.name : 'an error'
      this.#fail(createError('configuration', `a socket to ${this.#options.url} cannot be opened: ${name}`))
    }
  }

  #opened(token: string | null): void {
    this.#open = true
    this.#tokenEnds = token === null ? null : expiryOf(token)
    this.#answerTimer = setTimeout(() => {
      this.#socket?.close()
      this.#lost(createError('network', 'what answers there is no edge, or it hangs'), backoff(this.#inVain))
    }, ANSWER)
    this.#subscribe()
  }

  /** Brings the open socket's subscription to what is wanted. */
  #subscribe(): void {
    const ids = this.#owner.ids()
    if (this.status === 'live' && !this.#asked) this.#polls.stop()
    for (const message of subscriptionMessages(this.#asked, ids, this.#scope)) {
      this.#socket?.send(message)
      this.#options.logger?.debug('subscription', message)
    }
    this.#asked = new Set(ids)
  }

  #receive(message: ServerMessage): void {
    switch (message.type) {
      case 'analytics_update':
        this.source = 'socket'
        return this.#owner.take(message, 'socket')
      case 'connected':
        // Applied with the answer to `subscribe`, which the values follow: else the page would show nothing in between.
        this.#base = message.base
        return this.#renewal.plan(this.#tokenEnds, message.timestamp)
      case 'subscribed':
        return this.#subscribed(message.contentIds, `${message.organizationId ?? ''}\0${message.clientId ?? ''}`)
      case 'authenticated':
        this.#renewal.plan(message.expiresAt, message.timestamp)
        return this.#set(this.status, null)
      case 'error':
        return this.#told(createError(message.code, message.error))
      case 'pong':
    }
  }

  #subscribed(ids: readonly string[], scope: string): void {
    clearTimeout(this.#answerTimer)
    this.#owner.rebase(this.#base)
    this.#owner.settle()
    if (this.#scopeInForce !== null && this.#scopeInForce !== scope) this.#owner.rescope()
    this.#scopeInForce = scope
    const attempt = this.#attempt
    setTimeout(() => attempt === this.#attempt && this.#open && this.#owner.confirm(ids), SILENT)
    if (this.status === 'live') return
    this.#polls.stop()
    this.#refused = false
    this.#liveSince = Date.now()
    this.#set('live', null, 'socket')
  }

  /** An `error` of the edge: only a scope that is refused ends anything, and polls go on where no subscription stands. */
  #told(error: AnalyticsError): void {
    this.#options.logger?.warn(`the edge: ${error.message}`, error.code)
    if (error.code === 'forbidden') return this.#fail(error)
    clearTimeout(this.#answerTimer)
    // The next change of what is watched may fit: it says all of it anew.
    const isCrowded = error.code === 'too_many_ids'
    if (isCrowded) this.#asked = null
    if (isCrowded || this.status !== 'live') {
      this.#polls.start(0)
      this.#polls.hurry()
    }
    this.#set(this.status, error)
  }

  async #ended(code: number, text: string, opened: boolean, token: string | null): Promise<void> {
    if (this.status === 'live' && Date.now() - this.#liveSince >= GOOD) this.#inVain = 0
    if (!opened) return this.#refusedBefore(token)
    const next = afterClose(code, text, this.#inVain)
    const error = createError(next ? 'network' : 'closed', `the connection was closed: ${code} ${text}`.trim())
    if (next) this.#lost(error, next.wait, next.reason)
    else this.#fail(error)
  }

  /** A handshake failed, and a browser does not tell why: the same token asks by HTTP. */
  async #refusedBefore(token: string | null): Promise<void> {
    const attempt = this.#attempt
    this.#down()
    const polled = await this.#poller.ask(this.#options.contentUrl, this.#owner.ids(), token)
    if (attempt !== this.#attempt || !this.#running) return
    if (polled.answer) {
      this.#takeAnswer(polled.answer)
      const error = createError('network', 'the edge answers, but no WebSocket gets through to it')
      this.#lost(error, backoff(this.#inVain))
      return this.#set('polling')
    }
    const { status, retryAfter, error } = polled
    if (status === 401 && !this.#refused && this.#tokens.renewable) {
      this.#refused = true
      void this.#connect('expired')
    } else if (status === 401 || status === 403) {
      this.#fail(error)
    } else {
      this.#notBefore = Date.now() + retryAfter
      this.#lost(error, status === 429 || status === 503 ? later(retryAfter, this.#inVain) : backoff(this.#inVain))
    }
  }

  #lost(error: AnalyticsError, wait: number, reason: TokenContext['reason'] = 'connect'): void {
    this.#down()
    this.#inVain++
    this.#options.logger?.info('connection: next attempt', { inMs: Math.round(wait) })
    this.#retryTimer = setTimeout(() => void this.#connect(reason), wait)
    this.#polls.start(Math.random() * Math.min(FIRST_POLL, this.#owner.interval()))
    this.#set(this.status === 'polling' ? 'polling' : 'reconnecting', error)
  }

  #polled(failed: Unanswered | null): void {
    // Polled beside a socket that has no room for all of it: the rest is live.
    if (this.status === 'live' || this.status === 'failed') return
    if (!failed) return this.#set('polling')
    this.#set('reconnecting', failed.error)
    if (this.#options.development) this.#owner.simulate()
  }

  #takeAnswer(answer: ReadContent): void {
    this.#owner.rebase(answer.base)
    if (this.status !== 'live') this.source = 'poll'
    this.#owner.takeAnswer(answer)
  }
}
