//! A program of the workspace, run as it is. The rule: it does not outlive its owner.

use std::env;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::log::Log;
use crate::wait;

/// A running program; it is killed when it is dropped.
#[derive(Debug)]
pub struct Program(Child);

impl Program {
    /// Starts a program that was built beside the running executable, with these variables besides the caller's; none
    /// of the caller's that begin with `ANALYTICS_` reaches it.
    pub fn start(name: &str, arguments: &[&str], env: &[(&str, String)], output: Stdio) -> Result<Program> {
        let mut command = command(name)?;
        command.args(arguments).envs(env.iter().map(|(name, value)| (name, value))).stdout(output);
        Ok(Program(command.spawn().with_context(|| format!("start {name}"))?))
    }

    /// The same; what it writes to stderr goes into the log, what it writes to stdout nowhere.
    pub fn start_logged(name: &str, arguments: &[&str], env: &[(&str, String)], log: &Arc<Log>) -> Result<Program> {
        let mut command = command(name)?;
        command.args(arguments).envs(env.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {name}"))?;
        let stderr = child.stderr.take();
        let program = Program(child);
        let (stderr, log) = (stderr.context("the program has no stderr")?, log.clone());
        // Ends with the program.
        thread::spawn(move || log.capture(stderr, |_| {}));
        Ok(program)
    }

    /// Runs a program that must end by itself, with these variables: how it ended and all that it wrote to stderr.
    pub async fn run(name: &str, env: &[(&str, &str)]) -> Result<(ExitStatus, String)> {
        let mut command = command(name)?;
        command.envs(env.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut program = Program(command.spawn().with_context(|| format!("start {name}"))?);
        let mut stderr = program.0.stderr.take().context("the program has no stderr")?;
        let reader = thread::spawn(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).map(|_| said)
        });
        let status = wait::until(&format!("{name} to end"), async || program.0.try_wait().ok()?).await?;
        // The pipe ends with the process, so the reader does too.
        let said = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        Ok((status, said))
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub async fn terminate(mut self) -> Result<ExitStatus> {
        kill_process(Pid::from_child(&self.0), Signal::TERM).context("send SIGTERM")?;
        wait::until("the program to end", async || self.0.try_wait().ok()?).await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a program that was built beside the running executable prints, as it is called on the shell.
pub fn output(name: &str, arguments: &[&str]) -> Result<String> {
    let path = built(name)?;
    let output = Command::new(&path).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("start {}", path.display()))?;
    ensure!(output.status.success(), "{name} ended with {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{name} prints something that is no text"))
}

/// A program of the workspace without what the caller's shell says to such programs.
fn command(name: &str) -> Result<Command> {
    let mut command = Command::new(built(name)?);
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ANALYTICS_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    Ok(command)
}

/// A program beside the running executable: tests run from `<target>/<profile>/deps`, binaries from
/// `<target>/<profile>`.
fn built(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("find the running executable")?;
    let beside = own.ancestors().skip(1).take(2).map(|directory| directory.join(name));
    let found = beside.into_iter().find(|path| path.is_file());
    found.with_context(|| format!("no {name} beside {}: build the workspace", own.display()))
}
