// What only a page itself can say of its elements. The rule: each function is sent to the browser as it stands, and uses
// nothing from outside of itself.

export interface Stop {
  /** The place in the document, among all that can be operated. */
  place: number
  /** For whoever reads a failure. */
  name: string
  /** There is a ring around it, and it is on the screen. */
  seen: boolean
}

/** What can be operated by keyboard, in the document's order; of a group of radio buttons, the one that is chosen. */
export function operable(selector: string): Stop[] {
  return [...document.querySelectorAll<HTMLElement>(selector)].flatMap((element, place) => {
    const passed = element instanceof HTMLInputElement && element.type === 'radio' && !element.checked
    const name = `${element.tagName} ${element.getAttribute('aria-label') ?? element.textContent}`.slice(0, 60)
    return passed || !element.checkVisibility() ? [] : [{ place, name, seen: true }]
  })
}

/** Where the focus is. */
export function focused(selector: string): Stop | null {
  const element = document.activeElement
  if (!(element instanceof HTMLElement) || element === document.body) return null
  const place = [...document.querySelectorAll(selector)].indexOf(element)
  const name = `${element.tagName} ${element.getAttribute('aria-label') ?? element.textContent}`.slice(0, 60)
  // A control that is drawn by its neighbour has its ring there.
  const ringed = [element, element.nextElementSibling].some(one => {
    if (!one) return false
    const { outlineStyle, outlineWidth } = getComputedStyle(one)
    return outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2
  })
  const { top, bottom } = element.getBoundingClientRect()
  return { place, name, seen: ringed && bottom > 0 && top < innerHeight }
}

/** Controls whose edge stands out by less than a contrast against what lies around it (WCAG 2, 1.4.11). */
export function faint(least: number): string[] {
  const luminance = (color: string) => {
    const [red = 0, green = 0, blue = 0] = (color.match(/[\d.]+/g) ?? []).map(part => {
      const share = Number(part) / 255
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const ground = (element: Element | null): string => {
    if (!element) return 'rgb(255, 255, 255)'
    const { backgroundColor } = getComputedStyle(element)
    return backgroundColor === 'rgba(0, 0, 0, 0)' ? ground(element.parentElement) : backgroundColor
  }
  const controls = document.querySelectorAll('button:enabled, textarea, select, input:not([type="radio"]), .segments')
  return [...controls].flatMap(control => {
    const [dark = 0, light = 0] = [getComputedStyle(control).borderTopColor, ground(control.parentElement)]
      .map(luminance)
      .sort((one, other) => one - other)
    const contrast = (light + 0.05) / (dark + 0.05)
    return contrast < least ? [`${control.tagName}.${control.className} ${contrast.toFixed(2)}`] : []
  })
}

/** Opens all that is folded, without touching the focus. */
export function unfold(): void {
  for (const folded of document.querySelectorAll('details')) folded.open = true
}

/** How much wider than the window the page is, in CSS pixels. */
export function overhang(): number {
  const { scrollWidth, clientWidth } = document.documentElement
  return Math.max(0, scrollWidth - clientWidth)
}

/** Which directive of the page's policy keeps a socket from being opened. */
export function refusal(url: string): Promise<string> {
  return new Promise(resolve => {
    document.addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective), { once: true })
    new WebSocket(url).addEventListener('open', () => resolve('none'))
  })
}

/** Two frames: what was known before is drawn. */
export function drawn(): Promise<void> {
  return new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(() => resolve())))
}
