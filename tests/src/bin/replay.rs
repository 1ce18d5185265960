//! Replays the real input files through an edge. The rule: this is the command line and the progress bar only; what
//! is posted, and how, is `analytics_tests::replay`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use analytics_tests::input::{File, Increment};
use analytics_tests::replay::{self, Plan, Progress, Summary};
use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

/// Posts real page views and video counts to an edge, each exactly once, and says how it went.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The edge; given several times, posters are dealt out, and go on at another one when theirs does not answer.
    #[arg(long = "url", value_name = "URL", default_value = "http://127.0.0.1:3001")]
    urls: Vec<String>,
    /// Connections that post at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    posters: u16,
    /// What to post.
    #[arg(long, value_enum, default_value_t = Choice::All)]
    file: Choice,
    /// What the idempotency keys begin with; random unless given. To finish a run that was cut short, give its id again,
    /// with the same posters and batch: what was counted then does not count twice.
    #[arg(long)]
    run_id: Option<String>,
    /// Increments per call, 1 to 100.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=replay::MAX_BATCH as i64))]
    batch: u16,
    /// A token with `analytics:write:any` in its scope, for an edge in production mode.
    #[arg(long, env = "ANALYTICS_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How long a call is repeated while the edge cannot be reached, in seconds.
    #[arg(long, default_value_t = 30)]
    give_up_after: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    /// The requests of a web server, as views.
    Pageviews,
    /// The counts of videos, as differences from day to day.
    VideoCounts,
    /// Both.
    All,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(summary) => {
            println!("{summary}");
            if summary.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("replay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<Summary> {
    let increments = increments(arguments.file)?;
    let run_id = arguments.run_id.unwrap_or_else(|| format!("replay-{:016x}", fastrand::u64(..)));
    println!("replaying {} increments as {run_id}", increments.len());
    let plan = Plan {
        urls: arguments.urls,
        posters: arguments.posters.into(),
        batch: arguments.batch.into(),
        run_id,
        token: arguments.token,
        give_up_after: Duration::from_secs(arguments.give_up_after),
    };
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    runtime.block_on(with_bar(plan, increments))
}

fn increments(choice: Choice) -> Result<Vec<Increment>> {
    let files = match choice {
        Choice::Pageviews => vec![File::Pageviews],
        Choice::VideoCounts => vec![File::VideoCounts],
        Choice::All => File::ALL.to_vec(),
    };
    let lists: Vec<_> = files.into_iter().map(File::increments).collect::<Result<_>>()?;
    Ok(lists.concat())
}

async fn with_bar(plan: Plan, increments: Vec<Increment>) -> Result<Summary> {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {per_sec} {eta}").context("the bar's style")?;
    let bar = ProgressBar::new(increments.len() as u64).with_style(style);
    let progress = Arc::new(Progress::default());
    let replay = replay::run(plan, increments, progress.clone());
    tokio::pin!(replay);
    let mut redraw = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            summary = &mut replay => {
                bar.finish_and_clear();
                return summary;
            }
            _ = redraw.tick() => bar.set_position(progress.answered()),
        }
    }
}
