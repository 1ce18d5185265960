//! The functions as Lambda gets them: how large, and how soon ready. The rule: what is measured is the package itself,
//! from the start of its program to its first question for work; what Lambda does before that is not ours.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::figures::{Figures, Measure};
use crate::report::{Table, median, with_range};
use crate::rows::{Bench, told_of};

/// Starts per function; the first one reads the program from the disk.
const STARTS: usize = 20;

/// After this a start has failed.
const LATEST: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// The call with which a function says that it is ready
/// (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).
const NEXT: &str = "GET /2018-06-01/runtime/invocation/next ";

/// What a function must be told; the secret opens nothing.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("ANALYTICS_JWT_SECRET", "a secret of the benchmark that opens nothing"),
    ("ANALYTICS_NATS_URL", "nats://127.0.0.1:9"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "none"),
    ("AWS_SECRET_ACCESS_KEY", "none"),
    ("AWS_LAMBDA_FUNCTION_NAME", "measured"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
];

impl Bench<'_> {
    /// Package size and start time.
    pub(crate) fn functions(&self, kept: &mut Figures) -> Table {
        let method = format!(
            "Built by `cargo lambda build`, unpacked and zipped. Start: from the start of the program to its first \
             question for work, on one core, the median of {STARTS} starts, in brackets the fastest and the slowest."
        );
        let mut table = Table::new("Lambda functions", method, &["function", "MB", "MB zipped", "start ms"]);
        for name in ["trigger-update", "stream-relay"] {
            match self.function(name, kept) {
                Ok(cells) => table.row(cells),
                Err(error) => {
                    kept.lack(Measure::ZippedMegabytes, name);
                    kept.lack(Measure::StartMillis, name);
                    table.failed(name, &told_of(&error));
                }
            }
        }
        table
    }

    fn function(&self, name: &str, kept: &mut Figures) -> Result<Vec<String>> {
        let target = self.edge.binary.ancestors().nth(2).context("the proxy lies in no target directory")?;
        let package = target.join("lambda").join(name);
        let program = package.join("bootstrap");
        let starts = (0..STARTS).map(|_| start(&program)).collect::<Result<Vec<_>>>()?;
        let millis: Vec<f64> = starts.iter().map(|start| start.as_secs_f64() * 1_000.0).collect();
        ensure!(median(millis.iter().copied()).is_finite(), "nothing was measured");
        let zipped = megabytes(&package.join("bootstrap.zip"))?;
        kept.note(Measure::ZippedMegabytes, name, [zipped]);
        kept.note(Measure::StartMillis, name, [median(millis.iter().copied())]);
        let size = |megabytes| format!("{megabytes:.2}");
        Ok(vec![name.to_owned(), size(megabytes(&program)?), size(zipped), with_range(&millis)])
    }
}

/// How long a function takes until it asks for work.
fn start(program: &Path) -> Result<Duration> {
    let api = TcpListener::bind("127.0.0.1:0").context("bind the runtime's API")?;
    let mut command = Command::new(program);
    command.env_clear().envs(ENVIRONMENT).env("AWS_LAMBDA_RUNTIME_API", api.local_addr()?.to_string());
    // It complains when nobody answers, which nobody does here.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let _function = Owned(command.spawn().with_context(|| format!("start {}", program.display()))?);
    if poll(&mut [PollFd::new(&api, PollFlags::IN)], Some(&LATEST)).context("wait for the function")? == 0 {
        bail!("{} asks for nothing", program.display());
    }
    let (stream, _) = api.accept().context("accept the function")?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut asked = String::new();
    BufReader::new(stream).read_line(&mut asked).context("read what the function asks")?;
    let took = began.elapsed();
    ensure!(asked.starts_with(NEXT), "the function begins with {asked:?}");
    Ok(took)
}

/// A function does not outlive its measurement.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn megabytes(file: &Path) -> Result<f64> {
    let bytes = file.metadata().with_context(|| format!("look at {}", file.display()))?.len();
    Ok(bytes as f64 / 1e6)
}
