// Included twice: `tokio` is this crate, or the published Tokio.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use self::tokio::fs::{self, File, OpenOptions};
use self::tokio::io::{AsyncReadExt, AsyncSeekExt};
use self::tokio::runtime::{Builder, Runtime};
use self::tokio::task::JoinSet;

use super::{BLOCK, PIECE, TASKS};

pub(crate) struct Subject(Runtime);

/// What a runtime has.
#[derive(PartialEq)]
pub(crate) enum Drivers {
    All,
    /// No I/O where it would be a way to read files: see the module.
    #[allow(dead_code)]
    Needed,
}

impl Subject {
    /// Without workers: of one thread.
    pub(crate) fn new(workers: usize, drivers: Drivers) -> Subject {
        let mut builder =
            if workers == 0 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
        if drivers == Drivers::Needed && cfg!(tokio_unstable) {
            builder.enable_time();
        } else {
            builder.enable_all();
        }
        Subject(builder.worker_threads(workers.max(1)).build().expect("no runtime"))
    }

    pub(crate) fn run(
        &self,
        future: impl Future<Output = io::Result<()>> + Send + 'static,
    ) -> io::Result<()> {
        self.0.block_on(self.0.spawn(future)).expect("no panic")
    }

    /// A whole file, `n` times.
    pub(crate) fn whole(&self, n: u64, path: &Path) {
        let path = path.to_owned();
        let whole = self.run(async move {
            for _ in 0..n {
                std::hint::black_box(fs::read(&path).await?);
            }
            Ok(())
        });
        whole.expect("no error");
    }

    /// Each task reads a piece of the same file, `n` times all of them.
    pub(crate) fn pieces(&self, n: u64, path: &Path) {
        async fn piece(path: PathBuf, offset: u64) -> io::Result<()> {
            let mut file = File::open(path).await?;
            file.seek(SeekFrom::Start(offset)).await?;
            let mut piece = vec![0; PIECE];
            file.read_exact(&mut piece).await?;
            std::hint::black_box(piece);
            Ok(())
        }

        let path = path.to_owned();
        let pieces = self.run(async move {
            for _ in 0..n {
                let mut tasks = JoinSet::new();
                for task in 0..TASKS {
                    tasks.spawn(piece(path.clone(), task * PIECE as u64));
                }
                all(tasks).await?;
            }
            Ok(())
        });
        pieces.expect("no error");
    }

    /// Each task reads `n` blocks here and there, through a file of its own with `O_DIRECT`.
    pub(crate) fn direct(&self, n: u64, path: &Path, blocks: u64) -> io::Result<()> {
        async fn read(path: PathBuf, offsets: impl Iterator<Item = u64>) -> io::Result<()> {
            let mut file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).await?;
            let mut block = vec![0; BLOCK];
            for offset in offsets {
                file.seek(SeekFrom::Start(offset)).await?;
                file.read_exact(&mut block).await?;
            }
            Ok(())
        }

        let path = path.to_owned();
        self.run(async move {
            let mut tasks = JoinSet::new();
            for task in 0..TASKS {
                tasks.spawn(read(path.clone(), super::offsets(task, n, blocks)));
            }
            all(tasks).await
        })
    }
}

async fn all(mut tasks: JoinSet<io::Result<()>>) -> io::Result<()> {
    while let Some(task) = tasks.join_next().await {
        task.expect("no panic")?;
    }
    Ok(())
}
