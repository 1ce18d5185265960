//! The open database and its recovery. The rule: after redb fails once nothing more is asked of that instance; it is
//! dropped, and the file is opened anew before the next piece of work.
//!
//! redb refuses all work after an I/O error, and an error of `commit` leaves open whether the transaction is in the
//! file; only opening it again tells, and repairs.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use redb::{CommitError, Database, DatabaseError};

use super::file::{self, Opened};

/// How long a file that could not be opened again is left alone.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// Opens the file again.
pub(super) type Reopen = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// Why a piece of work was not done, or perhaps was.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The database failed before anything was committed.
    #[error("{0}")]
    Before(Box<redb::Error>),
    /// `commit` failed: the transaction may or may not be in the file.
    #[error("{0}")]
    Commit(CommitError),
    /// The file holds what this program never wrote.
    #[error("a record is damaged")]
    Damaged,
    /// There is no open database.
    #[error("{0}")]
    Absent(String),
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Fault {
        Fault::Before(Box::new(error.into()))
    }
}

/// The database, for as long as it works.
pub(super) struct Handle {
    reopen: Reopen,
    base: u64,
    state: RwLock<State>,
}

enum State {
    Open { database: Database, generation: u64 },
    Broken { reason: String, generation: u64, again_at: Instant },
    Closed,
}

impl Handle {
    /// Takes over an opened file.
    pub(super) fn new(opened: Opened, reopen: Reopen) -> Handle {
        let Opened { database, base } = opened;
        Handle { reopen, base, state: RwLock::new(State::Open { database, generation: 0 }) }
    }

    /// Does a piece of work on the open database, opening it again first if it has failed before.
    pub(super) fn with<R>(&self, work: impl FnOnce(&Database) -> Result<R, Fault>) -> Result<R, Fault> {
        self.ensure_open()?;
        let state = self.read();
        let State::Open { database, generation } = &*state else {
            return Err(Fault::Absent("the store is being opened again".into()));
        };
        let result = work(database);
        let generation = *generation;
        drop(state);
        if let Err(fault @ (Fault::Before(_) | Fault::Commit(_))) = &result {
            self.give_up(generation, fault);
        }
        result
    }

    /// Closes the file and lets other processes have it. Waits for work that is under way.
    pub(super) fn close(&self) {
        let state = std::mem::replace(&mut *self.write(), State::Closed);
        if let State::Open { database, .. } = state
            && let Err(error) = database.close()
        {
            // Every acknowledged write was committed before, so nothing is lost: the next open repairs the file.
            tracing::warn!(%error, "the store's file did not close cleanly");
        }
    }

    fn ensure_open(&self) -> Result<(), Fault> {
        match &*self.read() {
            State::Open { .. } => return Ok(()),
            State::Closed => return Err(Fault::Absent("the store is closed".into())),
            State::Broken { reason, again_at, .. } if Instant::now() < *again_at => {
                return Err(Fault::Absent(reason.clone()));
            }
            State::Broken { .. } => {}
        }
        let mut state = self.write();
        let State::Broken { reason, generation, again_at } = &mut *state else { return Ok(()) };
        match self.open_again() {
            Ok(database) => {
                tracing::info!("the store's file is open again");
                *state = State::Open { database, generation: *generation + 1 };
                Ok(())
            }
            Err(error) => {
                tracing::error!(error, "the store's file cannot be opened again");
                *again_at = Instant::now() + REOPEN_PAUSE;
                reason.clone_from(&error);
                Err(Fault::Absent(error))
            }
        }
    }

    fn open_again(&self) -> Result<Database, String> {
        let database = (self.reopen)().map_err(|error| error.to_string())?;
        match file::base(&database) {
            Ok(Some(base)) if base == self.base => Ok(database),
            // Readers and clients rely on the base that this process started with.
            Ok(_) => Err("the store's file was replaced: restart the process".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Drops the instance that failed, unless somebody already has.
    fn give_up(&self, failed: u64, fault: &Fault) {
        let mut state = self.write();
        if matches!(&*state, State::Open { generation, .. } if *generation == failed) {
            tracing::error!(error = %fault, "the store's file failed; opening it again");
            *state = State::Broken { reason: fault.to_string(), generation: failed, again_at: Instant::now() };
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}
