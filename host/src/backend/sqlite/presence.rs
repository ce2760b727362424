//! Whether the database's files are still the ones that were opened.
//!
//! SQLite does not notice when they are removed, replaced or truncated while hookbox runs: it goes on writing into
//! files that have no name any more, and what it commits is gone with the process. So the writer looks before and
//! after each commit, and nothing is acknowledged that the next start would not find. A look is four `stat`s and two
//! short reads, some microseconds beside an `fsync`.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::backend::BackendError;
use crate::backend::sqlite::fault::unavailable;

/// The first bytes of every SQLite database.
const DATABASE: &[u8; 16] = b"SQLite format 3\0";
/// The first bytes of a write-ahead log, but for the last bit.
const LOG: u32 = 0x377f_0682;
/// Bytes before the log's first frame, and before the page in each.
const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// The wait before a look that found something wrong is repeated.
const SECOND_LOOK: Duration = Duration::from_millis(20);

/// The files of an open database.
#[derive(Debug)]
pub(super) struct Files {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Watched,
    log: Watched,
    index: Watched,
    lock: Watched,
    /// The size that the database had at the last look. It shrinks only by a `VACUUM`.
    database_bytes: u64,
    /// The open database and index, for their headers. To close one would drop SQLite's locks on it, so they are open
    /// as long as this.
    database_file: File,
    index_file: Option<File>,
    /// Whether the last look found something wrong.
    is_lost: bool,
}

/// A file that is known by its number.
#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// Device and inode, once it has been seen.
    id: Option<(u64, u64)>,
}

impl Watched {
    fn new(path: PathBuf) -> Self {
        Self { path, id: None }
    }

    /// The file's identity, if it is there and still the same. The first look decides which one that is.
    fn look(&mut self) -> Result<Option<Metadata>, String> {
        let found = match fs::metadata(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match self.id {
                    None => Ok(None),
                    Some(_) => Err(format!("{} has been removed", self.path.display())),
                };
            }
            Err(error) => return Err(format!("{}: {error}", self.path.display())),
        };
        let id = (found.dev(), found.ino());
        if *self.id.get_or_insert(id) != id {
            return Err(format!(
                "{} has been replaced by another file",
                self.path.display()
            ));
        }
        Ok(Some(found))
    }

    fn truncated(&self) -> String {
        format!("{} has been truncated or overwritten", self.path.display())
    }
}

impl Files {
    /// The files of this database, whose lock file is this one. Call before SQLite opens it, and drop after.
    pub(super) fn of(database: &Path, lock: &Path) -> io::Result<Self> {
        let beside = |ending: &str| {
            let mut name = database.as_os_str().to_owned();
            name.push(ending);
            Watched::new(name.into())
        };
        let mut inner = Inner {
            database: Watched::new(database.to_owned()),
            log: beside("-wal"),
            index: beside("-shm"),
            lock: Watched::new(lock.to_owned()),
            database_bytes: 0,
            database_file: File::open(database)?,
            index_file: None,
            is_lost: false,
        };
        inner.database.id = id_of(&inner.database_file.metadata()?);
        inner.lock.id = id_of(&fs::metadata(lock)?);
        Ok(Self {
            inner: Mutex::new(inner),
        })
    }

    /// Looks whether all of them are what they were.
    ///
    /// # Errors
    /// The fault, and its remedy. It is logged when it is first seen.
    pub(super) fn check(&self) -> Result<(), BackendError> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // A look is several reads, between which the writer may go on, so one that finds something is repeated.
        let looked = inner.look().or_else(|_| {
            std::thread::sleep(SECOND_LOOK);
            inner.look()
        });
        let was_lost = std::mem::replace(&mut inner.is_lost, looked.is_err());
        match looked {
            Ok(()) => {
                if was_lost {
                    tracing::warn!("the database's files are back; events are accepted again");
                }
                Ok(())
            }
            Err(what) => {
                let reason = format!(
                    "{what} while hookbox was running. Nothing is accepted any more, as it would be lost: put the \
                     file back in its place if it still exists, otherwise restore a backup of the folder; then \
                     restart hookbox"
                );
                if !was_lost {
                    tracing::error!("{reason}");
                }
                Err(unavailable(reason))
            }
        }
    }
}

/// The bytes of all pages that a database's header counts, if it begins as one:
/// <https://www.sqlite.org/fileformat.html>, 1.3.
fn database_bytes(file: &File) -> Option<u64> {
    let mut header = [0; 32];
    file.read_exact_at(&mut header, 0).ok()?;
    let pages = header.strip_prefix(DATABASE)?;
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 1 << 16,
        page => u64::from(page),
    };
    let pages = u32::from_be_bytes(*pages.last_chunk()?);
    Some(page * u64::from(pages))
}

fn id_of(found: &Metadata) -> Option<(u64, u64)> {
    Some((found.dev(), found.ino()))
}

impl Inner {
    fn look(&mut self) -> Result<(), String> {
        self.lock.look()?;
        self.index.look()?;
        self.look_at_database()?;
        self.look_at_log()
    }

    fn look_at_database(&mut self) -> Result<(), String> {
        let found = self.database.look()?;
        let size = found.map_or(0, |found| found.len());
        // A new one is empty until its first checkpoint.
        if size == 0 && self.database_bytes == 0 {
            return Ok(());
        }
        let shrunk = size < self.database_bytes;
        let needed =
            database_bytes(&self.database_file).filter(|needed| !shrunk || size >= *needed);
        if needed.is_none() {
            return Err(self.database.truncated());
        }
        self.database_bytes = size;
        Ok(())
    }

    /// The log has to hold the frames that its index counts.
    fn look_at_log(&mut self) -> Result<(), String> {
        let size = self.log.look()?.map_or(0, |found| found.len());
        let needed = self
            .log_bytes()
            .map_err(|e| format!("{}: {e}", self.index.path.display()))?;
        if size < needed || (needed > 0 && !self.is_log()) {
            return Err(self.log.truncated());
        }
        Ok(())
    }

    /// The bytes of the log that are in use: <https://www.sqlite.org/walformat.html>, 2.1.
    fn log_bytes(&mut self) -> io::Result<u64> {
        let index = match &mut self.index_file {
            Some(index) => index,
            None if self.index.id.is_none() => return Ok(0),
            none => none.insert(File::open(&self.index.path)?),
        };
        let mut header = [0; 20];
        match index.read_exact_at(&mut header, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            read => read?,
        }
        let [.., a, b, c, d, e, f] = header;
        let (page, frames) = (u16::from_ne_bytes([a, b]), u32::from_ne_bytes([c, d, e, f]));
        let page = if page == 1 { 1 << 16 } else { u64::from(page) };
        Ok(match u64::from(frames) {
            0 => 0,
            frames => LOG_HEADER + frames * (FRAME_HEADER + page),
        })
    }

    /// Whether the log begins as one. SQLite locks only its index, so the log may be closed again.
    fn is_log(&self) -> bool {
        let mut magic = [0; 4];
        let read = File::open(&self.log.path).and_then(|log| log.read_exact_at(&mut magic, 0));
        read.is_ok() && u32::from_be_bytes(magic) & !1 == LOG
    }
}
