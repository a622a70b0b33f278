//! One run at a time in one target folder.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Held for as long as a run uses the generated workspace; the kernel releases it with the file.
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Waits until no other run uses `folder`.
    pub fn acquire(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let path = folder.join(".lock");
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                eprintln!("waiting for another run in {} to finish", folder.display());
                flock(&file, FlockOperation::LockExclusive).context("flock")?;
            }
            Err(errno) => return Err(errno).context("flock"),
        }
        Ok(Self { _file: file })
    }
}
