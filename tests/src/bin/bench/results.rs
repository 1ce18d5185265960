//! The file that a run leaves. The rule: targets first, then every table followed by its charts; only a complete run
//! takes the place of the one before.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use crate::charts::CHARTS;
use crate::figures::Figures;
use crate::report::Table;
use crate::targets;

/// Where charts lie, beside the text.
const CHARTS_FOLDER: &str = "charts";

/// All that a run has measured so far.
pub(crate) struct Results {
    /// Title, machine and method.
    head: String,
    tables: Vec<Table>,
    pub(crate) figures: Figures,
}

impl Results {
    pub(crate) fn new(head: String) -> Results {
        Results { head, tables: Vec::new(), figures: Figures::default() }
    }

    /// One more table.
    pub(crate) fn add(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// How many rows failed.
    pub(crate) fn failures(&self) -> usize {
        self.tables.iter().map(Table::failures).sum()
    }

    /// The targets with what was measured so far.
    pub(crate) fn targets(&self) -> String {
        targets::table(&self.figures).markdown()
    }

    /// Writes the text to `RESULTS.md` of a folder and the pictures beside it.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let charts = folder.join(CHARTS_FOLDER);
        // A picture of an earlier run must not stand beside this one's text.
        match fs::remove_dir_all(&charts) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("emptying {}", charts.display()));
            }
            _ => {}
        }
        fs::create_dir_all(&charts).with_context(|| format!("making {}", charts.display()))?;
        let mut text = format!("{}\n{}", self.head, self.targets());
        for table in &self.tables {
            // Writing into a string cannot fail.
            let _ = write!(text, "\n{}", table.markdown());
            for chart in CHARTS.iter().filter(|chart| table.pictured().contains(&chart.measure)) {
                let path = charts.join(format!("{}.svg", chart.name));
                let Some(svg) = chart.draw(&self.figures)? else { continue };
                fs::write(&path, svg).with_context(|| format!("writing {}", path.display()))?;
                let _ = write!(text, "\n![{}: {}]({CHARTS_FOLDER}/{}.svg)\n", chart.title, chart.unit, chart.name);
            }
        }
        let path = folder.join("RESULTS.md");
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Measure;

    #[test]
    fn targets_come_first_and_a_chart_follows_its_table() {
        let folder = tempfile::tempdir().expect("a directory");
        let mut results = Results::new("# Head\n".to_owned());
        let mut table = Table::new("Speed", "m", &["row", "figure"]).with_charts(&[Measure::FanoutRate]);
        table.row(vec!["edge".to_owned(), "1".to_owned()]);
        results.add(table);
        results.add(Table::new("Other", "m", &["row"]).with_charts(&[Measure::FanoutP99]));
        results.figures.note(Measure::FanoutRate, "edge", [1.0]);
        results.write(folder.path()).expect("written");
        let text = fs::read_to_string(folder.path().join("RESULTS.md")).expect("the text is there");
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"));
        assert!(at("# Head") < at("## Targets") && at("## Targets") < at("## Speed"));
        assert!(at("## Speed") < at("(charts/fanout.svg)") && at("(charts/fanout.svg)") < at("## Other"));
        assert!(folder.path().join("charts/fanout.svg").exists());
        assert!(!text.contains("delay.svg"), "what was not measured has no picture");
    }
}
