//! `stream-relay` as a process. The rule: it keeps nothing between its lives; what it knows lies in NATS.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::log::Log;
use crate::program::Program;
use crate::wait;

/// What it says when the log does not take what it has in hand.
const REFUSED: &str = "changes cannot be handed over";

/// The process, or its place while it does not run.
#[derive(Debug)]
pub struct Relay {
    environment: Vec<(&'static str, String)>,
    log: Arc<Log>,
    program: Option<Program>,
}

impl Relay {
    /// Starts one.
    pub fn start(environment: Vec<(&'static str, String)>) -> Result<Relay> {
        let mut relay = Relay { environment, log: Arc::default(), program: None };
        relay.start_again()?;
        Ok(relay)
    }

    /// Starts it again after it was killed.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.program.is_none(), "the relay is still running");
        self.program = Some(Program::start_logged("stream-relay", &[], &self.environment, &self.log)?);
        Ok(())
    }

    /// Ends it as a crash does (SIGKILL), and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.program.take().map(drop).context("the relay is not running")
    }

    /// Returns once the log has refused its changes.
    pub async fn refused(&self) -> Result<()> {
        let refused = || self.log.contains(REFUSED);
        wait::holds("the log to refuse the relay's changes", refused).await
    }

    /// What it wrote to stderr, over all its lives.
    pub fn log(&self) -> &Log {
        &self.log
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The test runner shows this for failed tests only.
        eprintln!("the relay's last lines:\n{}", self.log.tail(60).join("\n"));
    }
}
