//! The database of a stack. The rule: a test that does not harm it takes the one that all tests share, with tables of
//! its own; one that does has a process and files of its own, and comes back at the same port.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use lambda_trigger::dynamodb::DynamoClient;
use tempfile::TempDir;

use crate::dynamodb_local::{self, DynamoLocal};

/// Where Linux has files in memory. DynamoDB Local waits for the disk with every commit; what a process has written, it
/// keeps here too when it is killed.
const IN_MEMORY: &str = "/dev/shm";

/// A DynamoDB Local.
#[derive(Debug)]
pub enum Database {
    /// The one that all tests share.
    Shared(&'static DynamoLocal),
    /// One with files of its own.
    Own(Files),
}

/// A server with its files, which outlive it.
#[derive(Debug)]
pub struct Files {
    directory: TempDir,
    port: u16,
    server: Option<DynamoLocal>,
}

impl Database {
    /// The shared one.
    pub async fn shared() -> Result<Database> {
        Ok(Database::Shared(dynamodb_local::shared().await?))
    }

    /// A new one with files.
    pub async fn own() -> Result<Database> {
        let directory = directory()?;
        let server = DynamoLocal::start(Some(directory.path())).await?;
        Ok(Database::Own(Files { directory, port: server.port(), server: Some(server) }))
    }

    /// Where it listens, now or when it runs.
    pub fn port(&self) -> u16 {
        match self {
            Database::Shared(server) => server.port(),
            Database::Own(files) => files.port,
        }
    }

    /// A client of it.
    pub fn client(&self) -> DynamoClient {
        dynamodb_local::client(self.port())
    }

    /// Ends its process as a crash does (SIGKILL), and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.files()?.server.take().context("the database is not running")?.kill()
    }

    /// Starts it again after it was killed: same port, same files.
    pub async fn start_again(&mut self) -> Result<()> {
        let files = self.files()?;
        ensure!(files.server.is_none(), "the database is still running");
        files.server = Some(DynamoLocal::start_at(files.port, Some(files.directory.path())).await?);
        Ok(())
    }

    /// A copy of the files of a database that does not run.
    pub fn back_up(&mut self) -> Result<TempDir> {
        let files = self.files()?;
        ensure!(files.server.is_none(), "the database is still running");
        let copy = directory()?;
        copy_files(files.directory.path(), copy.path())?;
        Ok(copy)
    }

    /// Puts a copy in the place of the files of a database that does not run.
    pub fn restore(&mut self, copy: TempDir) -> Result<()> {
        let files = self.files()?;
        ensure!(files.server.is_none(), "the database is still running");
        files.directory = copy;
        Ok(())
    }

    fn files(&mut self) -> Result<&mut Files> {
        match self {
            Database::Shared(_) => bail!("the shared database is not a test's to harm"),
            Database::Own(files) => Ok(files),
        }
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
