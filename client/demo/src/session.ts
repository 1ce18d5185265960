// What belongs to one thing watched. The rule: another set of contents, another scope or made-up numbers are another
// session; nothing of the old one is mixed into its figures.

import { Meter } from './meter'
import { Recorder } from './recorder'

export interface Watched {
  readonly ids: readonly string[]
  readonly organizationId: string
  readonly clientId: string
  readonly simulate: boolean
}

export class Session {
  readonly recorder: Recorder
  readonly meter = new Meter()

  constructor(
    readonly watched: Watched,
    readonly since: number,
  ) {
    this.recorder = new Recorder(watched.ids, since)
  }
}
