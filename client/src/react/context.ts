// Which client the hooks use. The rule: the nearest provider's, else the one made from the environment on first need;
// neither is asked for while a server renders.

import { createContext, createElement, type FunctionComponentElement, type ProviderProps, type ReactNode } from 'react'
import type { AnalyticsClient } from '../types'

/** `null`: no provider is above. */
export const ClientContext = /* @__PURE__ */ createContext<AnalyticsClient | null>(null)

export interface AnalyticsProviderProps {
  /** Belongs to whoever made it: the provider never closes it, so that a remount finds its socket still open. */
  client: AnalyticsClient
  children?: ReactNode
}

/** Gives all hooks below one client, and with it one socket for each scope. */
export function AnalyticsProvider({
  client,
  children,
}: AnalyticsProviderProps): FunctionComponentElement<ProviderProps<AnalyticsClient | null>> {
  return createElement(ClientContext.Provider, { value: client }, children)
}
