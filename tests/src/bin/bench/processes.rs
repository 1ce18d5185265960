//! What processes used. The rule: a server is all its processes, as they were once it listened, and the kernel's own clock of
//! each counts its CPU time, to the nanosecond.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::ClockId;
use nix::unistd::Pid;
use rustix::process::{Signal, kill_process};

/// A process and its descendants.
#[derive(Default)]
pub(crate) struct Processes(Vec<Process>);

struct Process {
    id: u32,
    /// Of all its threads, those that have ended included.
    clock: ClockId,
}

impl Processes {
    /// Those that there are now. The first is the oldest.
    pub(crate) fn of(id: u32) -> Result<Processes> {
        let mut ids = vec![id];
        let mut next = 0;
        while let Some(id) = ids.get(next) {
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).context("finding a child")?;
            ids.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
            next += 1;
        }
        let clock = |id: u32| Ok(Process { id, clock: ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(id)?))? });
        Ok(Processes(ids.into_iter().map(clock).collect::<Result<_>>()?))
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.0.iter().map(|process| read(process.clock)).sum()
    }

    /// Resident memory in KiB.
    pub(crate) fn rss(&self) -> Result<u64> {
        self.0.iter().map(|process| memory(process.id, "VmRSS:")).sum()
    }

    /// The most resident memory that each ever had, together, in KiB.
    pub(crate) fn peak(&self) -> Result<u64> {
        self.0.iter().map(|process| memory(process.id, "VmHWM:")).sum()
    }

    /// Ends all but the first, which do not end with it when it is killed.
    pub(crate) fn end_children(&self) {
        for process in self.0.iter().skip(1) {
            // Its parent has not waited for it as long as it lives, so the id is still its own.
            let id = i32::try_from(process.id).ok().and_then(rustix::process::Pid::from_raw);
            let _ = id.map(|id| kill_process(id, Signal::KILL));
        }
    }
}

/// CPU time of this process so far.
pub(crate) fn own_cpu() -> Result<Duration> {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

fn read(clock: ClockId) -> Result<Duration> {
    Ok(clock.now().context("reading a process's clock")?.into())
}

fn memory(id: u32, what: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse().ok());
    kib.context("a process without memory")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use super::*;

    #[test]
    fn children_count_and_end_too() -> Result<()> {
        // A shell that waits for its child, as a master for its worker.
        let mut shell = Command::new("sh").args(["-c", "cat; :"]).stdin(Stdio::piped()).spawn()?;
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut processes = Processes::of(shell.id())?;
        while processes.0.len() < 2 && Instant::now() < deadline {
            std::thread::yield_now();
            processes = Processes::of(shell.id())?;
        }
        assert_eq!(processes.0.len(), 2, "the shell and cat");
        assert!(processes.rss()? > Processes::of(processes.0[1].id)?.rss()?);
        assert!(processes.cpu()? > Duration::ZERO);
        processes.end_children();
        assert!(shell.wait()?.success(), "the shell ends when its child has ended");
        Ok(())
    }

    #[test]
    fn own_cpu_time_is_finer_than_a_tick() -> Result<()> {
        let before = own_cpu()?;
        let mut used = Duration::ZERO;
        while used.is_zero() {
            used = own_cpu()? - before;
        }
        assert!(used < Duration::from_millis(10), "{used:?}");
        Ok(())
    }
}
