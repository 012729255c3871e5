//! A file replaced as a whole, by one process at a time.
//!
//! The lock is on the folder: the file itself is another one after each rename. The new text is written beside the old file, flushed
//! to the disk, and renamed over it, so that whoever reads finds the one or the other, and an interruption leaves the old one.

use crate::files;
use chaperone_authoring::source::{Findings, PolicyDocument};
use std::{
    fmt,
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A file that no other `revoke` changes as long as this lives.
#[derive(Debug)]
pub struct Exclusive {
    /// As the user wrote it.
    name: String,
    /// Without symbolic links.
    path: PathBuf,
    folder: PathBuf,
    _lock: File,
}

/// Why a file cannot be replaced.
#[derive(Debug)]
pub enum ReplaceError {
    /// A step of it failed.
    Io(&'static str, io::Error),
    /// It is a mounted ConfigMap or Secret.
    Mounted,
    /// It is no file.
    NoFile,
}

impl fmt::Display for ReplaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(step, error) => write!(f, "{step}: {error}"),
            Self::Mounted => {
                f.write_str("is mounted from a ConfigMap or Secret, which Kubernetes writes anew: change the object itself")
            }
            Self::NoFile => f.write_str("is no file"),
        }
    }
}

impl std::error::Error for ReplaceError {}

impl Exclusive {
    /// Takes the lock; `waiting` is called when another process has it. A symbolic link is followed: what it names is replaced, and the
    /// link stays.
    ///
    /// # Errors
    /// When there is no such file, it is one that Kubernetes manages, or its folder cannot be locked.
    pub fn open(path: &Path, waiting: impl FnOnce()) -> Result<Self, ReplaceError> {
        let resolved = path.canonicalize().map_err(|error| ReplaceError::Io("cannot be read", error))?;
        let (Some(folder), true) = (resolved.parent(), resolved.is_file()) else { return Err(ReplaceError::NoFile) };
        // The kubelet's atomic writer: NAME -> ..data/NAME, ..data -> ..2026_11_23_10_00_00.123456789.
        if folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"..")) {
            return Err(ReplaceError::Mounted);
        }
        let lock = lock_file(folder).map_err(|error| ReplaceError::Io("its folder cannot be opened", error))?;
        let failed = |error| ReplaceError::Io("its folder cannot be locked", error);
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                lock.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let folder = folder.to_path_buf();
        Ok(Self { name: path.display().to_string(), path: resolved, folder, _lock: lock })
    }

    /// What the file holds now; of several policies, the one of this name.
    ///
    /// # Errors
    /// When it cannot be read, or does not hold exactly one such policy.
    pub fn read(&self, policy_name: Option<&str>) -> Result<PolicyDocument, Findings> {
        let (_, text) = files::text(&self.path)?;
        PolicyDocument::read(&self.name, text, policy_name)
    }

    /// Replaces the file. Mode and, where the system allows, owner are those of the old one; what could not be kept is returned.
    ///
    /// # Errors
    /// When a step fails; the old file is still there then.
    pub fn replace(&self, text: &str) -> Result<Vec<String>, ReplaceError> {
        let step = |step: &'static str| move |error| ReplaceError::Io(step, error);
        self.clear_leftovers();
        let old = fs::metadata(&self.path).map_err(step("cannot be read"))?;
        let mut file = tempfile::Builder::new()
            .prefix(&self.prefix())
            .tempfile_in(&self.folder)
            .map_err(step("a new file beside it cannot be made"))?;
        file.write_all(text.as_bytes()).map_err(step("the new file cannot be written"))?;
        let lost = keep_owner(file.as_file(), &old);
        file.as_file().set_permissions(old.permissions()).map_err(step("the new file cannot be given its mode"))?;
        file.as_file().sync_all().map_err(step("the new file cannot be flushed to the disk"))?;
        file.persist(&self.path).map_err(|error| ReplaceError::Io("cannot be replaced", error.error))?;
        // The rename is visible already; this makes it outlast a loss of power. Not every file system can.
        let _ = File::open(&self.folder).and_then(|folder| folder.sync_all());
        Ok(lost)
    }

    /// What new files of this one are called before they replace it: hidden, and never taken for it by whoever watches the folder.
    fn prefix(&self) -> String {
        format!(".{}.revoke-", self.path.file_name().unwrap_or_default().to_string_lossy())
    }

    /// Takes away what a killed process left: under the lock nobody else can be using it.
    fn clear_leftovers(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&self.prefix()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(unix)]
fn lock_file(folder: &Path) -> io::Result<File> {
    File::open(folder)
}

/// Where a folder cannot be opened, a file in it is locked.
#[cfg(not(unix))]
fn lock_file(folder: &Path) -> io::Result<File> {
    File::create(folder.join(".policy-host.lock"))
}

/// Gives the new file the owner and group of the old one: whoever could read it must still be able to. Says what could not be kept.
#[cfg(unix)]
fn keep_owner(file: &File, old: &fs::Metadata) -> Vec<String> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let Ok(new) = file.metadata() else { return Vec::new() };
    let mut lost = Vec::new();
    if new.gid() != old.gid() && fchown(file, None, Some(old.gid())).is_err() {
        lost.push(format!("the file's group was {} and is now {}: can the proxy still read it?", old.gid(), new.gid()));
    }
    if new.uid() != old.uid() && fchown(file, Some(old.uid()), None).is_err() {
        lost.push(format!("the file's owner was {} and is now {}: can the proxy still read it?", old.uid(), new.uid()));
    }
    lost
}

#[cfg(not(unix))]
fn keep_owner(_file: &File, _old: &fs::Metadata) -> Vec<String> {
    Vec::new()
}
