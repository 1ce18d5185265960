// How the plot is drawn. The rule: colours are those of the style sheet, figures those of the reader's locale, and
// stretches that were not live are shaded.

import type uPlot from 'uplot'
import { format } from './format'
import { darkStretches, type Points } from './points'

export const HEIGHT = 220

/** Lines differ in their strokes, too: colour alone does not tell them apart for everybody. */
export const DASHES: readonly (readonly number[])[] = [[], [7, 4], [2, 3], [12, 4, 2, 4], [4, 2], [1, 5]]

/** At least so many seconds from left to right. */
const SHORTEST = 60
/** At least so much from bottom to top. */
const LOWEST = 5
const FONT = '12px system-ui, sans-serif'
const WHOLE_NUMBERS = [1, 2, 5]
  .flatMap(first => Array.from({ length: 16 }, (_, zeros) => first * 10 ** zeros))
  .sort((a, b) => a - b)

export interface Drawn {
  readonly points: Points
  /** Called with the row under the pointer; `null` without one. */
  readonly point: (row: number | null) => void
}

export function plotOptions(element: HTMLElement, series: number, drawn: () => Drawn): uPlot.Options {
  const style = getComputedStyle(element)
  const color = (name: string) => style.getPropertyValue(name).trim()
  const axis = {
    stroke: color('--soft'),
    font: FONT,
    grid: { stroke: color('--line'), width: 1 },
    ticks: { show: false },
  }
  return {
    width: Math.max(1, element.clientWidth),
    height: HEIGHT,
    padding: [12, 12, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: {
      x: { time: true, range: (_, min, max) => [Math.min(min, max - SHORTEST), max] },
      y: { range: (_, min, max) => [Math.min(0, min ?? 0), Math.max(LOWEST, (max ?? 0) * 1.1)] },
    },
    axes: [
      { ...axis, size: 28, gap: 8, space: 96, values: (_, times) => times.map(time => format.clock(time * 1000)) },
      {
        ...axis,
        size: 56,
        space: 40,
        incrs: WHOLE_NUMBERS,
        values: (_, counts) => counts.map(count => format.change(count)),
      },
    ],
    series: [
      {},
      ...Array.from({ length: series }, (_, index) => ({
        stroke: color(`--series-${index + 1}`),
        width: 2,
        dash: [...(DASHES[index] ?? [])],
        points: { show: false },
      })),
    ],
    hooks: {
      drawClear: [plot => shade(plot, drawn().points, color('--shade'))],
      setCursor: [plot => drawn().point(plot.cursor.idx ?? null)],
    },
  }
}

export function plotData({ times, series }: Points): uPlot.AlignedData {
  return [times, ...series.map(({ gained }) => gained)]
}

function shade(plot: uPlot, points: Points, color: string): void {
  const { ctx, bbox } = plot
  ctx.save()
  ctx.fillStyle = color
  for (const [from, to] of darkStretches(points)) {
    const left = Math.max(bbox.left, plot.valToPos(from, 'x', true))
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(to, 'x', true))
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height)
  }
  ctx.restore()
}
