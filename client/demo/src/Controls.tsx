// What is watched, and how. The rule: names take effect when they are submitted and only if the edge would take them;
// switches take effect at once.

import { type FormEvent, useEffect, useId, useState } from 'react'
import { Switch } from './Switch'
import { badScope, INTERVALS, parseIds, type Settings } from './settings'

export interface ControlsProps {
  settings: Settings
  /** The content types that can be chosen. */
  types: readonly string[]
  change: (change: Partial<Settings>) => void
}

export function Controls({ settings, types, change }: ControlsProps) {
  const id = useId()
  const options = settings.type && !types.includes(settings.type) ? [...types, settings.type] : types
  return (
    <section className="panel controls" aria-labelledby="controls-title">
      <h2 id="controls-title">What is watched</h2>
      <Names settings={settings} change={change} />
      <div className="pair">
        <p className="field">
          <label htmlFor={`${id}-type`}>Content type</label>
          <select id={`${id}-type`} value={settings.type} onChange={event => change({ type: event.target.value })}>
            <option value="">any</option>
            {options.map(type => (
              <option key={type}>{type}</option>
            ))}
          </select>
        </p>
        <p className="field">
          <label htmlFor={`${id}-interval`}>Interval</label>
          <select
            id={`${id}-interval`}
            value={settings.interval}
            onChange={event => change({ interval: Number(event.target.value) })}
          >
            {INTERVALS.map(interval => (
              <option key={interval} value={interval}>
                {interval / 1000} s
              </option>
            ))}
          </select>
        </p>
      </div>
      <Switch
        label="Enabled"
        hint="off: nothing is asked for"
        on={settings.enabled}
        set={on => change({ enabled: on })}
      />
      <Switch
        label="Simulate updates"
        hint="made up here at each interval, no socket"
        on={settings.simulate}
        set={on => change({ simulate: on })}
      />
    </section>
  )
}

function Names({ settings, change }: Pick<ControlsProps, 'settings' | 'change'>) {
  const id = useId()
  const watched = settings.ids.join('\n')
  const [ids, setIds] = useState(watched)
  const [organizationId, setOrganization] = useState(settings.organizationId)
  const [clientId, setClient] = useState(settings.clientId)
  const [problems, setProblems] = useState<{ ids: string | null; scope: string | null }>({ ids: null, scope: null })

  // They also change elsewhere, as by the button of the empty page.
  useEffect(() => setIds(watched), [watched])

  const problem = { id: `${id}-scope-problem`, is: problems.scope !== null }
  const submit = (event: FormEvent) => {
    event.preventDefault()
    const parsed = parseIds(ids)
    const scope = badScope(organizationId, clientId)
    setProblems({ ids: parsed.problem, scope })
    if (!parsed.ids || scope) return
    // The same contents stay the same session.
    const same = parsed.ids.join('\n') === watched
    change({ ids: same ? settings.ids : parsed.ids, organizationId, clientId })
  }

  return (
    <form onSubmit={submit} noValidate>
      <p className="field">
        <label htmlFor={`${id}-ids`}>Content ids, one a line</label>
        <textarea
          id={`${id}-ids`}
          rows={Math.min(6, Math.max(2, ids.split('\n').length))}
          value={ids}
          spellCheck={false}
          autoCapitalize="off"
          aria-invalid={problems.ids !== null}
          aria-describedby={`${id}-ids-problem`}
          onChange={event => setIds(event.target.value)}
        />
        <span id={`${id}-ids-problem`} className="problem">
          {problems.ids}
        </span>
      </p>
      <div className="pair">
        <Name label="Organization" value={organizationId} set={setOrganization} problem={problem} />
        <Name label="Client" value={clientId} set={setClient} problem={problem} />
      </div>
      <span id={problem.id} className="problem">
        {problems.scope}
      </span>
      <button type="submit">Watch</button>
    </form>
  )
}

interface NameProps {
  label: string
  value: string
  set: (value: string) => void
  /** Where it says what is wrong, and whether anything is. */
  problem: { id: string; is: boolean }
}

function Name({ label, value, set, problem }: NameProps) {
  const id = useId()
  return (
    <p className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        value={value}
        placeholder="none"
        spellCheck={false}
        autoComplete="off"
        autoCapitalize="off"
        aria-invalid={problem.is}
        aria-describedby={problem.id}
        onChange={event => set(event.target.value)}
      />
    </p>
  )
}
