//! Counts instructions. The rule: a count depends on the code and on nothing else, not on the machine's load, so a few
//! percent more are a change of the code.
//!
//! `tests/bench/instructions` builds and starts it. Each case of `analytics_proxy::instructions` runs once, in a process
//! of its own, under callgrind; what is counted is the optimized code that is shipped. The counts hold for one compiler
//! and one C library: after a change of either, and after a wanted change of the code, `--update` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use analytics_proxy::instructions::{CASES, Case};
use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How much more than the baseline a count may be, in percent. Hash tables are seeded anew in every process, which moves a
/// count by less than one.
const TOLERANCE: f64 = 3.0;

/// The function of the cases that is counted, whichever way the compiler writes its name.
const MEASURED: &str = "*instructions*measured*";

#[derive(Parser)]
#[command(about = "Counts the instructions of the hub's parts", subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The counts to compare with.
    #[arg(long, required = true)]
    baseline: Option<PathBuf>,
    /// Write the counts of this run as the new baseline.
    #[arg(long)]
    update: bool,
}

#[derive(Subcommand)]
enum Role {
    /// One case, by its place, which this program starts itself under callgrind.
    #[command(hide = true)]
    Case { index: usize },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(Role::Case { index }) = arguments.role {
        CASES.get(index).context("no such case")?.run();
        return Ok(());
    }
    let path = arguments.baseline.context("--baseline is missing")?;
    // A case holds a thousand connections.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let counts = CASES.iter().enumerate().map(|(index, case)| count(index, case)).collect::<Result<Vec<u64>>>()?;
    if arguments.update {
        let lines: String =
            CASES.iter().zip(&counts).map(|(case, count)| format!("{}\t{count}\n", case.name)).collect();
        return fs::write(&path, lines).with_context(|| format!("write {}", path.display()));
    }
    let failures = compare(&counts, &baseline(&path)?);
    ensure!(
        failures == 0,
        "{failures} counts are more than {TOLERANCE} % above what they must be. After a wanted change, or another \
         compiler, run this with --update and commit {}.",
        path.display()
    );
    Ok(())
}

/// The instructions of one time of a case's work.
fn count(index: usize, case: &Case) -> Result<u64> {
    let directory = tempfile::tempdir().context("create a directory")?;
    let out = directory.path().join("out");
    let output = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().context("find this program")?)
        .args(["case", &index.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("start valgrind")?;
    ensure!(output.status.success(), "{}: {}", case.name, String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&out).context("read what callgrind wrote")?;
    let total: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")))
        .and_then(|total| total.trim().parse().ok())
        .context("callgrind wrote no total")?;
    ensure!(total > 0, "{}: nothing was counted; was the function {MEASURED} renamed?", case.name);
    Ok(total / case.times)
}

fn baseline(path: &Path) -> Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}; --update writes it", path.display()))?;
    let line = |line: &str| {
        let (name, count) = line.split_once('\t').context("a line without a tab")?;
        Ok((name.to_owned(), count.parse().with_context(|| format!("{count:?} is no count"))?))
    };
    text.lines().map(line).collect()
}

/// Prints the table; answers how many counts are too high.
fn compare(counts: &[u64], baseline: &BTreeMap<String, u64>) -> usize {
    let mut failures = 0;
    let mut judged = |count: u64, than: Option<u64>| match than {
        None => {
            failures += 1;
            "not in the baseline".to_owned()
        }
        Some(than) => {
            let percent = (count as f64 / than as f64 - 1.0) * 100.0;
            let verdict = match percent {
                percent if percent > TOLERANCE => "  TOO MANY",
                percent if percent < -TOLERANCE => "  fewer: --update keeps it so",
                _ => "",
            };
            failures += usize::from(percent > TOLERANCE);
            format!("{percent:+.1} %{verdict}")
        }
    };
    println!("{:<48} {:>12}  against the baseline", "instructions", "each time");
    for (case, &count) in CASES.iter().zip(counts) {
        println!("{:<48} {count:>12}  {}", case.name, judged(count, baseline.get(case.name).copied()));
    }
    for (pair, counts) in CASES.windows(2).zip(counts.windows(2)) {
        let work = |case: &Case| case.name.split_once('+').map(|(work, _)| work.trim_end());
        if let (Some(work_of), true) = (work(&pair[0]), work(&pair[0]) == work(&pair[1])) {
            println!("{:<48} {:>12}  {}", work_of, "with / without", judged(counts[1], Some(counts[0])));
        }
    }
    failures
}
