//! The times of a file that are to be changed.

use std::time::SystemTime;

/// Which times of a file to change, and to what.
///
/// Given to [`File::set_times`](crate::fs::File::set_times). A time that is not set here stays what
/// it is.
///
/// # Examples
///
/// ```no_run
/// use std::time::SystemTime;
/// use tokio::fs::{File, FileTimes};
///
/// # async fn example() -> std::io::Result<()> {
/// let file = File::options().write(true).open("stamp").await?;
/// let now = SystemTime::now();
/// file.set_times(FileTimes::new().set_accessed(now).set_modified(now)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "must be applied to a file via `File::set_times` to have any effect"]
pub struct FileTimes {
    accessed: Option<SystemTime>,
    modified: Option<SystemTime>,
}

impl FileTimes {
    /// Changes nothing yet.
    pub fn new() -> Self {
        FileTimes::default()
    }

    /// Sets the time of the last access.
    pub fn set_accessed(mut self, t: SystemTime) -> Self {
        self.accessed = Some(t);
        self
    }

    /// Sets the time of the last change of the contents.
    pub fn set_modified(mut self, t: SystemTime) -> Self {
        self.modified = Some(t);
        self
    }

    pub(super) fn to_std(&self) -> std::fs::FileTimes {
        let mut times = std::fs::FileTimes::new();
        if let Some(t) = self.accessed {
            times = times.set_accessed(t);
        }
        if let Some(t) = self.modified {
            times = times.set_modified(t);
        }
        times
    }
}
