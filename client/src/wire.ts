// Reading what the edge sends. The rule: total; whatever is not understood is null, and nothing half-read gets through.

import type { ContentAnswer, CounterAnswer } from './http.gen'
import { FIELDS, type ServerMessage } from './wire.gen'

/** What the reducer takes: one field of one counter at a version. */
export type Change = Omit<Extract<ServerMessage, { type: 'analytics_update' }>, 'type'>

/** The part of a content answer that is read, and so the part that is checked. */
export interface ReadContent extends Pick<ContentAnswer, 'base'> {
  content: Array<Omit<CounterAnswer, 'score' | 'rating'>>
}

type Unknown = Record<string, unknown>

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isText = (value: unknown): value is string => typeof value === 'string'
const isOptional = (value: unknown): boolean => value === undefined || isText(value)
const isObject = (value: unknown): value is Unknown => typeof value === 'object' && value !== null

const isCounter = (of: Unknown): boolean =>
  isText(of.contentId) &&
  isOptional(of.organizationId) &&
  isOptional(of.clientId) &&
  isCount(of.version) &&
  isCount(of.timestamp)

const checks: Record<ServerMessage['type'], (message: Unknown) => boolean> = {
  connected: message => isCount(message.base) && isCount(message.timestamp),
  subscribed: message => Array.isArray(message.contentIds),
  analytics_update: message =>
    isCounter(message) && isCount(message.value) && (FIELDS as readonly unknown[]).includes(message.field),
  pong: () => true,
  authenticated: message => isCount(message.expiresAt) && isCount(message.timestamp),
  error: message => isText(message.error) && isText(message.code),
}

export function parseMessage(text: unknown): ServerMessage | null {
  const message = parseJson(text)
  return isObject(message) && isText(message.type) && Object.hasOwn(checks, message.type)
    ? checks[message.type as ServerMessage['type']](message)
      ? (message as unknown as ServerMessage)
      : null
    : null
}

export function parseContent(answer: unknown): ReadContent | null {
  return isObject(answer) &&
    isCount(answer.base) &&
    Array.isArray(answer.content) &&
    answer.content.every(of => isObject(of) && isCounter(of) && FIELDS.every(field => isCount(of[field])))
    ? (answer as unknown as ReadContent)
    : null
}

function parseJson(text: unknown): unknown {
  try {
    return isText(text) ? JSON.parse(text) : null
  } catch {
    return null
  }
}
