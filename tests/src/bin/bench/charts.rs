//! Figures as pictures. The rule: one kind, bars from zero with the figure beside each and the range of its rounds
//! through it, in tones that stand out from a light page and from a dark one.

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::SegmentValue;
use plotters::prelude::*;
use plotters::style::RGBColor;

use crate::figures::{Figures, Measure};
use crate::report::{grouped, median};

/// A picture of one measure.
pub(crate) struct Chart {
    /// Of the file, without its ending.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What the bars are counted in.
    pub(crate) unit: &'static str,
    pub(crate) measure: Measure,
    /// Digits behind the point.
    pub(crate) digits: usize,
}

/// Each stands where its tables are, by the rows that its figures come from.
pub(crate) const CHARTS: [Chart; 7] = [
    Chart {
        name: "fanout",
        title: "One topic, most subscribers, as fast as sustained",
        unit: "frames per second of the server's CPU time",
        measure: Measure::FanoutRate,
        digits: 0,
    },
    Chart {
        name: "delay",
        title: "One topic, most subscribers, 10 updates a second",
        unit: "ms within which 99 % of the frames arrive",
        measure: Measure::FanoutP99,
        digits: 1,
    },
    Chart {
        name: "memory-shared",
        title: "An idle connection, all of one shared topic",
        unit: "bytes of resident memory",
        measure: Measure::SharedBytes,
        digits: 0,
    },
    Chart {
        name: "memory-spread",
        title: "An idle connection, each of 20 of 10 000 topics",
        unit: "bytes of resident memory",
        measure: Measure::SpreadBytes,
        digits: 0,
    },
    Chart {
        name: "memory-own",
        title: "An idle connection, each of a topic of its own",
        unit: "bytes of resident memory",
        measure: Measure::OwnBytes,
        digits: 0,
    },
    Chart {
        name: "cost",
        title: "One update to 100 subscribers, by what else is subscribed",
        unit: "µs of the server's CPU time",
        measure: Measure::UpdateCost,
        digits: 0,
    },
    Chart {
        name: "posts",
        title: "Most calls in flight, each of another content",
        unit: "acknowledged updates a second, on one core",
        measure: Measure::Posts,
        digits: 0,
    },
];

/// Four times as bright as black, and white four times as bright as they are.
const TEXT: RGBColor = RGBColor(0x78, 0x78, 0x78);
const FLOOR: RGBColor = RGBColor(0x8C, 0x8C, 0x8C);
const OURS: RGBColor = RGBColor(0x2F, 0x81, 0xF7);
const OTHERS: RGBColor = RGBColor(0xC9, 0x7A, 0x16);

const WIDTH: u32 = 920;
const BAR: u32 = 34;
const NAMES: u32 = 270;

impl Chart {
    /// The picture as SVG, or `None` of nothing.
    pub(crate) fn draw(&self, figures: &Figures) -> Result<Option<String>> {
        let measured = figures.of(self.measure).iter().filter(|(_, rounds)| !rounds.is_empty());
        let bars: Vec<_> = measured.cloned().collect();
        if bars.is_empty() {
            return Ok(None);
        }
        let mut svg = String::new();
        self.draw_into(&mut svg, &bars).map_err(|error| anyhow!("drawing {}: {error}", self.name))?;
        Ok(Some(svg))
    }

    fn draw_into(&self, svg: &mut String, bars: &[(String, Vec<f64>)]) -> Result<(), Box<dyn std::error::Error>> {
        let count = bars.len();
        let root = SVGBackend::with_string(svg, (WIDTH, BAR * count as u32 + 110)).into_drawing_area();
        let longest = bars.iter().flat_map(|(_, rounds)| rounds).copied().fold(0.0, f64::max);
        let text = |size: u32| ("sans-serif", size).into_font().color(&TEXT);
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, text(20))
            .margin(10)
            // Half of the last figure on the axis stands beyond it.
            .margin_right(40)
            .x_label_area_size(50)
            .y_label_area_size(NAMES)
            // Room at the right for the figure beside the longest bar; the last of the places is included.
            .build_cartesian_2d(0.0..(longest * 1.2).max(f64::MIN_POSITIVE), (0..count - 1).into_segmented())?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(TEXT.mix(0.3))
            .axis_style(TEXT.mix(0.6))
            .x_labels(6)
            .x_label_formatter(&|figure| self.written(*figure))
            .x_desc(self.unit)
            .axis_desc_style(text(16))
            .label_style(text(16))
            .y_labels(count)
            .y_label_formatter(&|place| {
                match place {
                    // The first is at the top.
                    SegmentValue::CenterOf(place) => bars.get(count - 1 - place).map(|(name, _)| name.clone()),
                    _ => None,
                }
                .unwrap_or_default()
            })
            .draw()?;
        for (index, (name, rounds)) in bars.iter().enumerate() {
            let place = count - 1 - index;
            let middle = median(rounds.iter().copied());
            let colour = match name.as_str() {
                name if name.starts_with("floor") => FLOOR,
                name if name.starts_with("edge") => OURS,
                _ if self.measure == Measure::UpdateCost => OURS,
                _ => OTHERS,
            };
            let ends = [(0.0, SegmentValue::Exact(place)), (middle, SegmentValue::Exact(place + 1))];
            let mut bar = Rectangle::new(ends, colour.mix(0.6).filled());
            bar.set_margin(5, 5, 0, 0);
            chart.draw_series([bar])?;
            let (low, high) = rounds.iter().fold((middle, middle), |(low, high), at| (low.min(*at), high.max(*at)));
            let at = |figure| (figure, SegmentValue::CenterOf(place));
            chart.draw_series([PathElement::new([at(low), at(high)], colour.stroke_width(3))])?;
            let label = EmptyElement::at(at(high)) + Text::new(self.written(middle), (6, -7), text(16));
            chart.draw_series([label])?;
        }
        root.present()?;
        drop(chart);
        Ok(())
    }

    fn written(&self, figure: f64) -> String {
        match self.digits {
            0 => grouped(figure),
            digits => format!("{figure:.digits$}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_names_everyone_and_every_figure() {
        let mut figures = Figures::default();
        figures.note(Measure::FanoutRate, "floor", [504_320.0, 500_000.0, 510_000.0]);
        figures.note(Measure::FanoutRate, "edge <plain>", [460_970.0]);
        let svg = CHARTS[0].draw(&figures).expect("drawn").expect("measured");
        for text in ["floor", "edge &lt;plain&gt;", "504 320", "460 970", "CPU time"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        figures.lack(CHARTS[1].measure, "edge");
        assert!(CHARTS[1].draw(&figures).expect("drawn").is_none(), "nothing was measured");
    }
}
