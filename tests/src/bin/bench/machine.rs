//! The machine as far as figures depend on it. The rule: its shape, never its name.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::delivery::Delays;

const SYNCS: usize = 200;

/// Two sentences: processor count, memory and kernel; file system and what a durable write costs there.
pub(crate) fn shape(data: &Path) -> Result<String> {
    let cores = fs::read_to_string("/proc/cpuinfo")?.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib: f64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|line| line.split_whitespace().next())
        .and_then(|kib| kib.parse().ok())
        .context("reading /proc/meminfo")?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // The rest of a release names whoever built it.
    let kernel = release.trim().split('-').next().unwrap_or_default();
    let syncs = syncs(data)?;
    Ok(format!(
        "{cores} cores, {:.0} GiB of memory, Linux {kernel}. Stores on {}, where appending 4 KiB and `fdatasync` take \
         p50 {:.2} ms, p99 {:.2} ms.",
        kib / 1024.0 / 1024.0,
        file_system(data)?,
        syncs.milliseconds(0.50),
        syncs.milliseconds(0.99),
    ))
}

/// The type of the file system that holds a path.
fn file_system(path: &Path) -> Result<String> {
    let path = path.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let holding = fields.filter(|fields| fields.len() > 2 && path.starts_with(fields[1]));
    // Of mounts on one another the last is in force.
    let nearest = holding.max_by_key(|fields| fields[1].len()).context("no mount holds the store")?;
    Ok(nearest[2].to_owned())
}

fn syncs(directory: &Path) -> Result<Delays> {
    let mut file = tempfile::tempfile_in(directory)?;
    let mut delays = Delays::new();
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[0x5A; 4096])?;
        file.sync_data()?;
        delays.add(start.elapsed());
    }
    Ok(delays)
}
