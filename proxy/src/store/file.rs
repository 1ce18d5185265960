//! The store's file: its tables, its format and its epoch. The rule: a file is used only after it has proved to be
//! ours and of a format that this program knows.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use analytics_shared::version;
use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition};

use super::record::{CounterBytes, OutcomeBytes, TimeBytes};
use super::{EmbeddedOptions, key::Fingerprint};

/// Every counter, by [`key::counter`](super::key::counter).
pub(super) const COUNTERS: TableDefinition<'_, &[u8], &CounterBytes> = TableDefinition::new("counters");

/// Outcomes of keyed writes, by [`key::idempotency`](super::key::idempotency).
pub(super) const KEYS: TableDefinition<'_, &Fingerprint, &OutcomeBytes> = TableDefinition::new("keys");

/// The same keys by age, to find those that expired.
pub(super) const KEYS_BY_TIME: TableDefinition<'_, &TimeBytes, ()> = TableDefinition::new("keys_by_time");

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const FORMAT: &str = "format";
const EPOCH: &str = "epoch";

/// The format that this program writes, and the newest that it reads.
const KNOWN_FORMAT: u64 = 1;

/// How often a file that another process has is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be created or synced.
    #[error("the data directory {} cannot be used", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the file open, and kept it for as long as we waited.
    #[error("the store {} is open in another process: stop it first, or give each its own data directory", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote the file.
    #[error("the store {} has format {found}, this program knows up to {KNOWN_FORMAT}: use a newer one", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u64,
    },
    /// The file is a database, but not of this program.
    #[error("{} is not a counter store of this program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// No epoch is left above the file's.
    #[error("the store {} is at the last possible epoch", path.display())]
    NoEpochLeft {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written, or is damaged.
    #[error("the store {} cannot be opened", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Box<redb::Error>,
    },
}

/// A file that proved usable.
pub(super) struct Opened {
    /// The open file.
    pub(super) database: Database,
    /// The lowest version of its epoch.
    pub(super) base: u64,
}

/// Opens or creates the file in the options' directory, and settles its epoch.
pub(super) fn open(options: &EmbeddedOptions) -> Result<(PathBuf, Opened), OpenError> {
    let directory = |source| OpenError::Directory { path: options.dir.clone(), source };
    fs::create_dir_all(&options.dir).map_err(directory)?;
    let path = options.dir.join("counters.redb");
    let database = unlocked(&path, options.lock_wait, || database(&path, options.cache_bytes))?;
    // A new file survives a power cut only once the directories that name it are on the disk.
    for named_in in [Some(options.dir.as_path()), options.dir.parent()].into_iter().flatten() {
        let named_in = if named_in.as_os_str().is_empty() { Path::new(".") } else { named_in };
        File::open(named_in).and_then(|directory| directory.sync_all()).map_err(directory)?;
    }
    let now = (options.clock)() / 1000;
    let base = settle(&database, &path, options.new_epoch, now)?;
    Ok((path, Opened { database, base }))
}

/// Opens the file again, as it is.
pub(super) fn database(path: &Path, cache_bytes: usize) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(cache_bytes).create(path)
}

/// The base of a file that was opened before; `None` if it is not that of a store.
pub(super) fn base(database: &Database) -> Result<Option<u64>, redb::Error> {
    Ok(match read_meta(database)? {
        Meta::Ours { epoch, .. } => version::base_of_epoch(epoch),
        Meta::Empty | Meta::Foreign => None,
    })
}

fn unlocked(
    path: &Path,
    wait: Duration,
    mut open: impl FnMut() -> Result<Database, DatabaseError>,
) -> Result<Database, OpenError> {
    let deadline = Instant::now() + wait;
    loop {
        match open() {
            Ok(database) => return Ok(database),
            Err(DatabaseError::DatabaseAlreadyOpen) if Instant::now() < deadline => thread::sleep(LOCK_PAUSE),
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(OpenError::InUse { path: path.into() }),
            Err(error) => return Err(unusable(path)(error.into())),
        }
    }
}

/// Checks the format and returns the base of the epoch, writing what is missing or asked for in one transaction.
fn settle(database: &Database, path: &Path, new_epoch: bool, unix_seconds: u64) -> Result<u64, OpenError> {
    let known = read_meta(database).map_err(unusable(path))?;
    let of_now = version::epoch_at(unix_seconds);
    let epoch = match known {
        Meta::Empty => of_now,
        Meta::Foreign => return Err(OpenError::Foreign { path: path.into() }),
        Meta::Ours { format, .. } if format > KNOWN_FORMAT => {
            return Err(OpenError::TooNew { path: path.into(), found: format });
        }
        Meta::Ours { epoch, .. } if !new_epoch => epoch,
        // The clock may have gone backwards; the new epoch must still win over the old one.
        Meta::Ours { epoch, .. } => of_now.max(epoch.saturating_add(1)),
    };
    let base = version::base_of_epoch(epoch).ok_or_else(|| OpenError::NoEpochLeft { path: path.into() })?;
    if new_epoch || matches!(known, Meta::Empty) {
        write_meta(database, epoch).map_err(unusable(path))?;
    }
    Ok(base)
}

enum Meta {
    Empty,
    Foreign,
    Ours { format: u64, epoch: u64 },
}

fn read_meta(database: &Database) -> Result<Meta, redb::Error> {
    let transaction = database.begin_read()?;
    if transaction.list_tables()?.next().is_none() {
        return Ok(Meta::Empty);
    }
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Ok(Meta::Foreign),
    };
    let word = |name| Ok::<_, redb::Error>(meta.get(name)?.map(|word| word.value()));
    Ok(match (word(FORMAT)?, word(EPOCH)?) {
        (Some(format), Some(epoch)) => Meta::Ours { format, epoch },
        // A newer format may keep its epoch elsewhere.
        (Some(format), None) if format > KNOWN_FORMAT => Meta::Ours { format, epoch: 0 },
        _ => Meta::Foreign,
    })
}

fn write_meta(database: &Database, epoch: u64) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(FORMAT, KNOWN_FORMAT)?;
        meta.insert(EPOCH, epoch)?;
        // Readers find every table from the first moment on.
        transaction.open_table(COUNTERS)?;
        transaction.open_table(KEYS)?;
        transaction.open_table(KEYS_BY_TIME)?;
    }
    Ok(transaction.commit()?)
}

fn unusable(path: &Path) -> impl Fn(redb::Error) -> OpenError + '_ {
    |source| OpenError::Unusable { path: path.into(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const START: u64 = 1_800_000_000_000;

    fn options(dir: &Path, unix_ms: u64) -> EmbeddedOptions {
        EmbeddedOptions { clock: Arc::new(move || unix_ms), ..EmbeddedOptions::new(dir) }
    }

    fn base_of(options: &EmbeddedOptions) -> u64 {
        open(options).map(|(_, opened)| opened.base).expect("the store opens")
    }

    #[test]
    fn the_epoch_stays_until_it_is_renewed_and_then_rises_whatever_the_clock_says() {
        let dir = tempfile::tempdir().expect("a directory");
        let base_at = |unix_ms: u64| version::base_of_epoch(version::epoch_at(unix_ms / 1000)).expect("an epoch");
        assert_eq!(base_of(&options(dir.path(), START)), base_at(START));
        assert_eq!(base_of(&options(dir.path(), START + 60_000)), base_at(START));
        let renewed = |unix_ms| EmbeddedOptions { new_epoch: true, ..options(dir.path(), unix_ms) };
        assert_eq!(base_of(&renewed(START + 60_000)), base_at(START + 60_000));
        assert_eq!(base_of(&renewed(START - 60_000)), base_at(START + 61_000), "the clock went backwards");
        assert_eq!(base_of(&options(dir.path(), START)), base_at(START + 61_000));
    }

    #[test]
    fn a_file_of_a_newer_format_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, opened) = open(&options(dir.path(), START)).expect("the store opens");
        let transaction = opened.database.begin_write().expect("a transaction");
        transaction.open_table(META).expect("the table").insert(FORMAT, KNOWN_FORMAT + 1).expect("the format");
        transaction.commit().expect("the commit");
        drop(opened);
        for _ in 0..2 {
            let refused = open(&EmbeddedOptions { new_epoch: true, ..options(dir.path(), START) }).map(|_| ());
            assert!(matches!(&refused, Err(OpenError::TooNew { path: named, found: 2 }) if *named == path));
        }
    }

    #[test]
    fn a_foreign_database_and_a_file_that_is_none_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("counters.redb");
        let database = database(&path, 1 << 20).expect("a database");
        let transaction = database.begin_write().expect("a transaction");
        transaction.open_table(TableDefinition::<u64, u64>::new("theirs")).expect("a table");
        transaction.commit().expect("the commit");
        drop(database);
        assert!(matches!(open(&options(dir.path(), START)), Err(OpenError::Foreign { .. })));
        fs::write(&path, "these are not the bytes of a database").expect("a file");
        assert!(matches!(open(&options(dir.path(), START)), Err(OpenError::Unusable { .. })));
    }

    #[test]
    fn the_last_epoch_has_no_successor() {
        let dir = tempfile::tempdir().expect("a directory");
        let end = options(dir.path(), u64::MAX);
        assert_eq!(Some(base_of(&end)), version::base_of_epoch(version::MAX_EPOCH));
        let refused = open(&EmbeddedOptions { new_epoch: true, ..end });
        assert!(matches!(refused, Err(OpenError::NoEpochLeft { .. })));
    }
}
