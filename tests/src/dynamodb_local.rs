//! The real DynamoDB Local. The rule: a server lives as long as whoever started it, even if that is killed.
//!
//! Java runs under a shell that waits for the end of its standard input and then kills Java: the pipe ends with its
//! owner, however that ends.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use lambda_trigger::dynamodb::{DynamoClient, Tables};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::{port, wait};

/// How often a port is tried: one that was free may be taken before Java binds it.
const PORTS: u32 = 5;

/// Between two looks at a server that starts.
const INTERVAL: Duration = Duration::from_millis(20);

/// Tells Java's process id, then outlives its own input by no more than it takes to kill Java.
const WATCHED_JAVA: &str = "java \"$@\" >/dev/null 2>\"$LOG\" & echo $!; cat >/dev/null; kill -9 $!; wait";

/// A running server on a free port.
#[derive(Debug)]
pub struct DynamoLocal {
    port: u16,
    java: Pid,
    shell: Child,
    /// Its end is Java's.
    input: Option<ChildStdin>,
    log: tempfile::TempDir,
}

/// The server that all tests of this process share, each with tables of its own; started when first asked for.
pub async fn shared() -> Result<&'static DynamoLocal> {
    static SHARED: OnceCell<DynamoLocal> = OnceCell::const_new();
    SHARED.get_or_try_init(|| DynamoLocal::start(None)).await
}

/// Table names that nobody else has.
pub fn fresh_tables() -> Tables {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
    Tables::new(&prefix).expect("a valid prefix")
}

/// A client of whatever listens on a port of this machine.
pub fn client(port: u16) -> DynamoClient {
    DynamoClient::new(&config(port))
}

/// The SDK's configuration for whatever listens on a port of this machine.
pub fn config(port: u16) -> SdkConfig {
    let credentials = aws_sdk_dynamodb::config::Credentials::new("local", "local", None, None, "tests");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://127.0.0.1:{port}"))
        .credentials_provider(aws_sdk_dynamodb::config::SharedCredentialsProvider::new(credentials))
        .build()
}

/// The environment of a program that uses whatever listens on a port of this machine.
pub fn environment(port: u16) -> [(&'static str, String); 5] {
    let endpoint = format!("http://127.0.0.1:{port}");
    [
        ("AWS_ENDPOINT_URL_DYNAMODB", endpoint.clone()),
        ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", endpoint),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
    ]
}

/// The environment of a program over these tables, which reaches DynamoDB and its streams at ports of this machine.
pub fn environment_over(tables: &Tables, dynamodb: u16, streams: u16) -> Vec<(&'static str, String)> {
    let own = [
        ("ANALYTICS_TABLE_PREFIX", tables.counters().trim_end_matches("-counters").to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", format!("http://127.0.0.1:{streams}")),
    ];
    environment(dynamodb).into_iter().chain(own).collect()
}

impl DynamoLocal {
    /// Starts a server on a free port, in memory or with its files in a directory, where the next one finds them.
    pub async fn start(files: Option<&Path>) -> Result<DynamoLocal> {
        let mut last = None;
        for _ in 0..PORTS {
            let port = port::free()?.port();
            match DynamoLocal::start_at(port, files).await {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no port was tried")?)
    }

    /// Starts a server on this port; one that was there before must have ended.
    pub async fn start_at(port: u16, files: Option<&Path>) -> Result<DynamoLocal> {
        let jars = jars()?;
        let log = tempfile::tempdir().context("create a directory for the log")?;
        let mut command = Command::new("sh");
        command.args(["-c", WATCHED_JAVA, "sh", "-Xmx512m"]);
        command.arg(format!("-Djava.library.path={}", jars.display()));
        command.args(["-cp", &format!("{}/*", jars.display())]);
        command.args(["software.amazon.dynamodb.services.local.main.ServerRunner", "-disableTelemetry", "-sharedDb"]);
        command.args(["-port", &port.to_string()]);
        match files {
            None => command.arg("-inMemory"),
            Some(files) => command.arg("-dbPath").arg(files),
        };
        command.env("LOG", log.path().join("stderr")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().context("start DynamoDB Local")?;
        let input = shell.stdin.take();
        let mut line = String::new();
        let output = shell.stdout.take().context("the shell has no standard output")?;
        BufReader::new(output).read_line(&mut line).context("read Java's process id")?;
        let java =
            line.trim().parse().ok().and_then(Pid::from_raw).context("the shell did not tell Java's process id")?;
        let server = DynamoLocal { port, java, shell, input, log };
        server.wait_until_it_answers().await?;
        Ok(server)
    }

    /// Where it listens, on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A client of it.
    pub fn client(&self) -> DynamoClient {
        client(self.port)
    }

    /// Ends it as a crash does (SIGKILL), and waits until it is gone.
    pub fn kill(mut self) -> Result<()> {
        kill_process(self.java, Signal::KILL).context("kill DynamoDB Local")?;
        self.end();
        Ok(())
    }

    async fn wait_until_it_answers(&self) -> Result<()> {
        let deadline = Instant::now() + wait::LIMIT;
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            ensure!(self.lives(), "DynamoDB Local ended instead of listening:\n{}", self.log());
            ensure!(
                Instant::now() < deadline,
                "DynamoDB Local does not listen after {:?}:\n{}",
                wait::LIMIT,
                self.log()
            );
            sleep(INTERVAL).await;
        }
        Ok(())
    }

    /// Whether Java runs; until the shell has waited for it, an ended one is still a zombie.
    fn lives(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.java.as_raw_nonzero()));
        // The state stands behind the name, which is in parentheses and may hold any.
        stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')))
    }

    fn log(&self) -> String {
        let mut log = String::new();
        let file = std::fs::File::open(self.log.path().join("stderr"));
        // Without a log there is nothing to tell.
        let _ = file.and_then(|mut file| file.read_to_string(&mut log));
        log
    }

    fn end(&mut self) {
        drop(self.input.take());
        // It fails only if the shell has been waited for already.
        let _ = self.shell.wait();
    }
}

impl Drop for DynamoLocal {
    fn drop(&mut self) {
        self.end();
    }
}

fn jars() -> Result<PathBuf> {
    let jars = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/dynamodb-local");
    if !jars.is_dir() {
        bail!("DynamoDB Local is not installed: run tests/run once, which installs it, then this again");
    }
    Ok(jars)
}
