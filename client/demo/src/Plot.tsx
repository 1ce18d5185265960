// The canvas. The rule: React makes and ends it; in between only numbers go in, once a second.

import { useEffect, useRef } from 'react'
import UPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { type Drawn, HEIGHT, plotData, plotOptions } from './plotOptions'

export interface PlotProps extends Drawn {
  /** What it shows, in a sentence. */
  label: string
}

export function Plot({ points, point, label }: PlotProps) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot | null>(null)
  const drawn = useRef<Drawn>({ points, point })
  const series = points.series.length

  useEffect(() => {
    const element = box.current
    if (!element) return
    const made = new UPlot(
      plotOptions(element, series, () => drawn.current),
      plotData(drawn.current.points),
      element,
    )
    plot.current = made
    const resized = new ResizeObserver(() => made.setSize({ width: Math.max(1, element.clientWidth), height: HEIGHT }))
    resized.observe(element)
    return () => {
      resized.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [series])

  useEffect(() => {
    drawn.current = { points, point }
    plot.current?.setData(plotData(points))
  }, [points, point])

  return <div ref={box} className="plot" role="img" aria-label={label} />
}
