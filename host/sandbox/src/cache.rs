//! Compiled components on disk, so that a start does not compile.
//!
//! An artifact is native code, and the engine believes it. So one is loaded only if this program wrote
//! it: the folder belongs to us and nobody else can write to it, and each file carries a MAC, under a key
//! that lies in the folder, over what it is an artifact of and every byte of it. Whatever does not verify
//! (damaged, cut, put there by somebody, of another engine) counts as absent, and is replaced.
//!
//! The folder has a size, and each file's name says in whose share of it the file is: that of who had it compiled
//! first. Owners that have more than a share make room for the others, with what was used longest ago. So plugins do
//! not fill the disk, and no tenant's keep another's from being there. What was not used for a month has no share.

use std::{
    fs::{DirBuilder, File},
    hash::{Hash, Hasher},
    io::{self, Read, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use hmac::{Hmac, KeyInit, Mac};
use rustix::{
    fs::{self, AtFlags, Mode, OFlags},
    io::Errno,
    process::geteuid,
};
use sha2::{Digest, Sha256};
use wasmtime::{Engine, component::Component};

use super::artifact::Artifact;
use crate::eviction::{self, CacheEntry};

/// Raised whenever the layout of the files changes.
const FORMAT: &[u8] = b"hookbox compiled component 1";
const KEY_FILE: &str = "key";
/// Of artifacts' names.
const ENDING: &str = ".bin";
/// Entries that were not used for so long are in no owner's share any more; together they have one share.
const IDLE_SECONDS: u64 = 30 * 24 * 3600;
const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;
/// The most bytes of a file that are read: far above what the largest component compiles to.
const MAX_FILE: u64 = 1 << 30;

/// The folder, opened once, so that it stays the one that was vetted.
pub(super) struct Cache {
    dir: OwnedFd,
    key: [u8; KEY_BYTES],
    /// The engine's version and configuration, as far as compiled code depends on them.
    engine: [u8; 32],
    /// The most bytes that artifacts may have together.
    most_bytes: u64,
}

/// Why there is no cache. For the operator's log.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    #[error("the cache folder cannot be used: {0}")]
    Io(#[from] io::Error),
    #[error("the cache folder belongs to another user; remove it or choose another")]
    ForeignOwner,
    #[error("others can write to the cache folder; take that right away (chmod go-w)")]
    Writable,
}

impl From<Errno> for CacheError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl Cache {
    /// Opens the folder, which is made (0700) if it is missing, and its key, likewise (0600).
    pub(super) fn open(path: &Path, engine: &Engine, most_bytes: u64) -> Result<Self, CacheError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let dir = fs::open(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let dir = File::from(dir);
        let meta = dir.metadata()?;
        if meta.uid() != geteuid().as_raw() {
            return Err(CacheError::ForeignOwner);
        }
        if meta.mode() & 0o022 != 0 {
            return Err(CacheError::Writable);
        }
        let dir = OwnedFd::from(dir);
        let key = match read_key(&dir)? {
            Some(key) => key,
            None => make_key(&dir)?,
        };
        let mut hasher = StableHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            dir,
            key,
            engine: hasher.0.finalize().into(),
            most_bytes,
        })
    }

    /// The artifact of the component with this digest, if there is one that we made.
    pub(super) fn load(&self, engine: &Engine, digest: &[u8; 32]) -> Option<Component> {
        let id = self.id(digest);
        let name = self.find(&id)?;
        let file = match read_file(&self.dir, &name, MAX_FILE) {
            Ok(file) => file?,
            Err(error) => {
                tracing::warn!(%error, "a compiled transformer cannot be read; it is compiled anew");
                return None;
            }
        };
        let artifact = self.verify(&id, &file);
        if artifact.is_none() {
            tracing::warn!(
                "a compiled transformer in the cache is not ours or damaged; it is replaced"
            );
        }
        let artifact = artifact?;
        touch(&self.dir, &name);
        // `verify` is what makes the promise true
        Artifact::of_our_own(artifact)
            .load(engine)
            .inspect_err(
                |error| tracing::warn!(%error, "a compiled transformer does not load; it is replaced"),
            )
            .ok()
    }

    /// Keeps an artifact, in the share of an owner unless there is a file for it already, which it replaces. Failing
    /// to is no error: it costs a compilation at the next start.
    pub(super) fn store(&self, owner: &str, digest: &[u8; 32], component: &Component) {
        let id = self.id(digest);
        let name = self.find(&id).unwrap_or_else(|| file_name(&id, owner));
        let kept = component.serialize().map_err(|error| error.to_string());
        let kept = kept.and_then(|artifact| {
            let mac = self.mac(&id, &artifact).finalize().into_bytes();
            replace_file(&self.dir, &name, &[mac.as_slice(), &artifact])
                .map_err(|error| error.to_string())
        });
        touch(&self.dir, &name);
        if let Err(error) = kept {
            tracing::warn!(%error, "a compiled transformer could not be cached");
        }
        if let Err(error) = make_room(&self.dir, &name, self.most_bytes) {
            tracing::warn!(%error, "the cache of compiled transformers could not be swept");
        }
    }

    /// The name of the file with this artifact, in whoever's share.
    fn find(&self, id: &[u8; 32]) -> Option<String> {
        let stem = hex::encode(id);
        let mut names = artifacts(&self.dir).ok()?.into_iter();
        names.find(|name| name.split('.').next() == Some(stem.as_str()))
    }

    /// The identity of an artifact: the component, and the engine that compiled it.
    fn id(&self, digest: &[u8; 32]) -> [u8; 32] {
        Sha256::new()
            .chain_update(FORMAT)
            .chain_update(self.engine)
            .chain_update(digest)
            .finalize()
            .into()
    }

    #[expect(
        clippy::expect_used,
        reason = "HMAC takes keys of any length (RFC 2104)"
    )]
    fn mac(&self, id: &[u8; 32], artifact: &[u8]) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(&self.key)
            .expect("any length will do")
            .chain_update(id)
            .chain_update(artifact)
    }

    /// The artifact in a file, if the MAC before it is right. Compares in constant time.
    fn verify<'a>(&self, id: &[u8; 32], file: &'a [u8]) -> Option<&'a [u8]> {
        let (mac, artifact) = file.split_first_chunk::<MAC_BYTES>()?;
        self.mac(id, artifact).verify_slice(mac).ok()?;
        Some(artifact)
    }
}

/// `ID.OWNER.bin`, the owner by a part of its digest, as it may be called anything; `ID.bin` without one.
fn file_name(id: &[u8; 32], owner: &str) -> String {
    let id = hex::encode(id);
    if owner.is_empty() {
        return format!("{id}{ENDING}");
    }
    let owner = hex::encode(Sha256::digest(owner));
    format!("{id}.{}{ENDING}", owner.get(..32).unwrap_or(&owner))
}

/// In whose share a file is; what is not told belongs together.
fn owner_of(name: &str) -> &str {
    let stem = name.strip_suffix(ENDING).unwrap_or(name);
    stem.split_once('.').map_or("", |(_, owner)| owner)
}

/// The names of all artifacts.
fn artifacts(dir: &OwnedFd) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(dir)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().to_str()
            && name.ends_with(ENDING)
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The key, or nothing if there is none that can be trusted.
fn read_key(dir: &OwnedFd) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let Some(file) = open_file(dir, KEY_FILE)? else {
        return Ok(None);
    };
    let meta = file.metadata()?;
    if meta.uid() != geteuid().as_raw() || meta.mode() & 0o077 != 0 {
        tracing::warn!("the cache's key was open to others; a new one is made");
        return Ok(None);
    }
    let mut key = Vec::with_capacity(KEY_BYTES + 1);
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut key)?;
    Ok(key.try_into().ok())
}

/// Makes a key. If two processes do at once, the later one's stays, and what was written under the other
/// is compiled again.
fn make_key(dir: &OwnedFd) -> io::Result<[u8; KEY_BYTES]> {
    let key: [u8; KEY_BYTES] = rand::random();
    replace_file(dir, KEY_FILE, &[&key])?;
    Ok(key)
}

fn open_file(dir: &OwnedFd, name: &str) -> io::Result<Option<File>> {
    // NONBLOCK: a FIFO put in a file's place must not hold us
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match fs::openat(dir, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // LOOP: a symbolic link
        Err(Errno::NOENT | Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(file.metadata()?.is_file().then_some(file))
}

fn read_file(dir: &OwnedFd, name: &str, max: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open_file(dir, name)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Puts a whole file (0600) in the place of `name`, or leaves what was there.
fn replace_file(dir: &OwnedFd, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = format!("{:032x}.tmp", rand::random::<u128>());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(fs::openat(dir, &temporary, flags, Mode::RUSR | Mode::WUSR)?);
    let written = parts
        .iter()
        .try_for_each(|part| file.write_all(part))
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(fs::renameat(dir, &temporary, dir, name)?))
        .and_then(|()| Ok(fs::fsync(dir)?));
    written.inspect_err(|_| {
        // best effort: the error to tell is the first one
        let _ = fs::unlinkat(dir, &temporary, AtFlags::empty());
    })
}

/// Notes that a file was used just now. Best effort: it may be swept too early, and is made again then.
///
/// By our clock: that of the file system ticks so seldom that what is used one after another is used at once.
fn touch(dir: &OwnedFd, name: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let times = fs::Timestamps {
        last_access: fs::Timespec {
            tv_sec: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: now.subsec_nanos().into(),
        },
        last_modification: fs::Timespec {
            tv_sec: 0,
            tv_nsec: fs::UTIME_OMIT,
        },
    };
    let _ = fs::utimensat(dir, name, &times, AtFlags::SYMLINK_NOFOLLOW);
}

/// Removes what is more than its owner's share until the rest is within bounds. `keep` stays in any case, and so
/// does what is being written just now.
fn make_room(dir: &OwnedFd, keep: &str, most_bytes: u64) -> io::Result<()> {
    let mut files = Vec::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let idle = now
        .unwrap_or_default()
        .as_secs()
        .saturating_sub(IDLE_SECONDS);
    for name in artifacts(dir)? {
        // Another process may have removed it meanwhile.
        if let Ok(file) = fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
            let size = u64::try_from(file.st_size).unwrap_or(0);
            files.push((name, size, (file.st_atime, file.st_atime_nsec)));
        }
    }
    loop {
        let held = files
            .iter()
            .enumerate()
            .map(|(n, (name, size, used))| CacheEntry {
                owner: (u64::try_from(used.0).unwrap_or(0) > idle).then(|| owner_of(name)),
                amount: *size,
                used,
                key: (name != keep).then_some(n),
            });
        let Some(n) = eviction::pick_victim(held, most_bytes) else {
            return Ok(());
        };
        let (name, ..) = files.swap_remove(n);
        match fs::unlinkat(dir, &name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Feeds a `Hash` to SHA-256. The standard library's hashers may change with any release.
struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest: [u8; 32] = self.0.clone().finalize().into();
        digest
            .first_chunk::<8>()
            .map_or(0, |head| u64::from_le_bytes(*head))
    }
}
