//! The database of a stack. The rule: each has a process and files of its own, and comes back at the same port. DynamoDB
//! Local does everything in one thread and becomes slower by all that it holds; in one that all tests share, a replay
//! would take a multiple of its time.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lambda_trigger::dynamodb::DynamoClient;
use tempfile::TempDir;

use crate::dynamodb_local::{self, DynamoLocal};

/// Where Linux has files in memory. DynamoDB Local waits for the disk with every commit; what a process has written, it
/// keeps here too when it is killed.
const IN_MEMORY: &str = "/dev/shm";

/// A DynamoDB Local with its files, which outlive it.
#[derive(Debug)]
pub struct Database {
    directory: TempDir,
    port: u16,
    server: Option<DynamoLocal>,
}

impl Database {
    /// Starts a new one.
    pub async fn start() -> Result<Database> {
        let directory = directory()?;
        let server = DynamoLocal::start(Some(directory.path())).await?;
        Ok(Database { directory, port: server.port(), server: Some(server) })
    }

    /// Where it listens, now or when it runs.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A client of it.
    pub fn client(&self) -> DynamoClient {
        dynamodb_local::client(self.port)
    }

    /// Ends its process as a crash does (SIGKILL), and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.server.take().context("the database is not running")?.kill()
    }

    /// Starts it again after it was killed: same port, same files.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.server.is_none(), "the database is still running");
        self.server = Some(DynamoLocal::start_at(self.port, Some(self.directory.path())).await?);
        Ok(())
    }

    /// A copy of the files of a database that does not run.
    pub fn back_up(&self) -> Result<TempDir> {
        ensure!(self.server.is_none(), "the database is still running");
        let copy = directory()?;
        copy_files(self.directory.path(), copy.path())?;
        Ok(copy)
    }

    /// Puts a copy in the place of the files of a database that does not run.
    pub fn restore(&mut self, copy: TempDir) -> Result<()> {
        ensure!(self.server.is_none(), "the database is still running");
        self.directory = copy;
        Ok(())
    }
}

fn directory() -> Result<TempDir> {
    let parent = Path::new(IN_MEMORY);
    let directory = if parent.is_dir() { tempfile::tempdir_in(parent) } else { tempfile::tempdir() };
    directory.context("create a directory for the tables")
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).context("list the tables' files")? {
        let entry = entry.context("list the tables' files")?;
        fs::copy(entry.path(), to.join(entry.file_name())).context("copy a file of the tables")?;
    }
    Ok(())
}
