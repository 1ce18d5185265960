// On or off, at once. The rule: a real checkbox underneath, so that keyboards and screen readers need nothing special.

import { useId } from 'react'

export interface SwitchProps {
  label: string
  hint: string
  on: boolean
  set: (on: boolean) => void
}

export function Switch({ label, hint, on, set }: SwitchProps) {
  const id = useId()
  return (
    <div className="switch">
      <input
        id={id}
        type="checkbox"
        // biome-ignore lint/a11y/useAriaPropsForRole: a checkbox says itself whether it is checked (ARIA in HTML, §4)
        role="switch"
        checked={on}
        aria-describedby={`${id}-hint`}
        onChange={event => set(event.target.checked)}
      />
      <label htmlFor={id}>{label}</label>
      <span id={`${id}-hint`} className="note">
        {hint}
      </span>
    </div>
  )
}
