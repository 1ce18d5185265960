//! Tables of medians. The rule: one rendering, aligned Markdown, for the terminal and the file, and a row that failed
//! shows why instead of figures.

use std::fmt::Write;

use crate::figures::Measure;

/// A titled table.
pub(crate) struct Table {
    title: String,
    /// How the figures came about.
    method: String,
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
    failures: usize,
    pictured: &'static [Measure],
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, method: impl Into<String>, columns: &'static [&'static str]) -> Table {
        let (title, method) = (title.into(), method.into());
        Table { title, method, columns, rows: Vec::new(), failures: 0, pictured: &[] }
    }

    /// The charts of these measures follow the table.
    pub(crate) fn with_charts(mut self, measures: &'static [Measure]) -> Table {
        self.pictured = measures;
        self
    }

    /// What is to be seen in charts after it.
    pub(crate) fn pictured(&self) -> &'static [Measure] {
        self.pictured
    }

    /// A row of as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// A row whose figures do not count.
    pub(crate) fn failed(&mut self, name: &str, reason: &str) {
        self.instead(name, "**failed**", reason);
        self.failures += 1;
    }

    /// A row of what is not installed, or does not do this.
    pub(crate) fn left_out(&mut self, name: &str, reason: &str) {
        self.instead(name, "not measured", reason);
    }

    fn instead(&mut self, name: &str, verdict: &str, reason: &str) {
        // Cells hold one line, and a bar would end the cell.
        let reason = reason.lines().next().unwrap_or_default().replace('|', "/");
        self.rows.push(vec![name.to_owned(), format!("{verdict}: {reason}")]);
    }

    /// How many rows failed.
    pub(crate) fn failures(&self) -> usize {
        self.failures
    }

    /// As Markdown whose columns are aligned.
    pub(crate) fn markdown(&self) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|name| name.chars().count()).collect();
        for row in &self.rows {
            // A failed row's reason may be long; it does not widen its column.
            let cells = if row.len() == self.columns.len() { row.as_slice() } else { &row[..1] };
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.method);
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            text.push('|');
            for (index, width) in widths.iter().copied().enumerate() {
                let cell = cells.next().unwrap_or_default();
                // Names to the left, figures to the right. Writing into a string cannot fail.
                let _ = if index == 0 { write!(text, " {cell:width$} |") } else { write!(text, " {cell:>width$} |") };
            }
            text.push('\n');
        };
        line(&mut self.columns.iter().copied());
        let rule: Vec<String> = widths
            .iter()
            .enumerate()
            .map(|(index, width)| if index == 0 { "-".repeat(*width) } else { format!("{}:", "-".repeat(width - 1)) })
            .collect();
        line(&mut rule.iter().map(String::as_str));
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str));
        }
        text
    }
}

/// The middle of some figures, the upper one of two; NaN of none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let figures = sorted(figures);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median, and from where to where the rounds went.
pub(crate) fn with_range(figures: &[f64]) -> String {
    ranged(figures, &|figure| format!("{figure:.2}"))
}

/// The same of large whole numbers.
pub(crate) fn grouped_with_range(figures: &[f64]) -> String {
    ranged(figures, &grouped)
}

fn ranged(figures: &[f64], written: &dyn Fn(f64) -> String) -> String {
    let sorted = sorted(figures.iter().copied());
    let middle = written(median(sorted.iter().copied()));
    match sorted.as_slice() {
        [] => "—".to_owned(),
        [low, .., high] => format!("{middle} ({}–{})", written(*low), written(*high)),
        _ => middle,
    }
}

fn sorted(figures: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// A whole number with its thousands apart.
pub(crate) fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && text != "-" {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_the_order_and_the_outlier() {
        assert_eq!(median([9000.0, 1.0, 3.0]), 3.0);
        assert_eq!(with_range(&[2.0, 1.0, 4.0]), "2.00 (1.00–4.00)");
        assert_eq!(with_range(&[2.0]), "2.00");
        assert_eq!(with_range(&[]), "—", "nothing was measured");
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(
            [0.0, 999.0, 1000.0, 1_234_567.0, -123_456.0].map(grouped),
            ["0", "999", "1 000", "1 234 567", "-123 456"]
        );
    }

    #[test]
    fn a_failed_row_says_why_in_one_cell() {
        let mut table = Table::new("t", "m", &["row", "figure", "other"]);
        table.failed("a", "3 | 4 frames\nlog");
        table.left_out("b", "not installed");
        assert!(table.markdown().contains("| a   | **failed**: 3 / 4 frames |"));
        assert!(table.markdown().contains("| b   | not measured: not installed |"));
        assert_eq!(table.failures(), 1, "what is not there did not fail");
    }
}
