//! The same reads on each runtime. Each of `depth` tasks has the file open and reads one block after
//! the other, into a buffer of its own.

use std::future::Future;
use std::io::{self, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::join_all;

use super::{BLOCK, Plan};
use crate::side::Side;

/// The CPU time of the reads, in nanoseconds.
pub fn read(side: Side, plan: Plan, now: impl Fn() -> u64) -> io::Result<u64> {
    match side {
        // The files of this API read into a buffer of their own, which need not be aligned: its way to
        // direct I/O is the blocking pool.
        Side::Tokio if plan.direct => on_tokio_pool(plan, now),
        Side::Spargio | Side::SpargioLane if plan.direct => on_spargio_pool(plan, now),
        Side::Tokio => on_tokio(plan, now),
        Side::Spargio | Side::SpargioLane => on_spargio(plan, now),
        Side::SpargioNative => on_native(plan, now),
        Side::TokioUring => on_tokio_uring(plan, now),
        Side::Monoio => on_monoio(plan, now),
        Side::Compio => on_compio(plan, now),
        Side::Glommio => on_glommio(plan, now),
    }
}

/// The time all tasks take.
pub async fn timed<F: Future<Output = io::Result<()>>>(
    now: impl Fn() -> u64,
    tasks: impl IntoIterator<Item = F>,
) -> io::Result<u64> {
    let before = now();
    for result in join_all(tasks).await {
        result?;
    }
    Ok(now() - before)
}

/// The file, opened as the plan says.
pub fn open(plan: &Plan) -> io::Result<std::fs::File> {
    let flags = if plan.direct { libc::O_DIRECT } else { 0 };
    std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&plan.path)
}

/// A buffer, and where in it an aligned block begins.
pub fn buffer() -> (Vec<u8>, usize) {
    let buffer = vec![0; 2 * BLOCK];
    let start = buffer.as_ptr().align_offset(BLOCK);
    (buffer, start)
}

pub fn check(n: usize) -> io::Result<()> {
    if n == BLOCK { Ok(()) } else { Err(io::Error::other(format!("read {n} bytes"))) }
}

/// `fs::File` has a cursor: a seek, then a read.
macro_rules! with_cursor {
    ($name:ident, $tokio:ident) => {
        fn $name(plan: Plan, now: impl Fn() -> u64) -> io::Result<u64> {
            use $tokio::io::{AsyncReadExt, AsyncSeekExt};

            let runtime = $tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let tasks = (0..plan.depth).map(|lane| {
                    let plan = plan.clone();
                    let task = async move {
                        let mut file = $tokio::fs::File::from_std(open(&plan)?);
                        let mut buffer = vec![0; BLOCK];
                        for offset in plan.offsets(lane) {
                            file.seek(SeekFrom::Start(offset)).await?;
                            file.read_exact(&mut buffer).await?;
                        }
                        Ok(())
                    };
                    let task = $tokio::spawn(task);
                    async move { task.await.map_err(io::Error::other)? }
                });
                timed(now, tasks).await
            })
        }
    };
}

with_cursor!(on_tokio, tokio);
with_cursor!(on_spargio, spargio);

/// `pread` on the blocking pool.
macro_rules! on_pool {
    ($name:ident, $tokio:ident) => {
        fn $name(plan: Plan, now: impl Fn() -> u64) -> io::Result<u64> {
            let runtime = $tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let tasks = (0..plan.depth).map(|lane| {
                    let plan = plan.clone();
                    let task = async move {
                        let file = Arc::new(open(&plan)?);
                        let (mut buffer, start) = buffer();
                        for offset in plan.offsets(lane) {
                            let file = file.clone();
                            let read = move || {
                                let n = file.read_at(&mut buffer[start..start + BLOCK], offset)?;
                                check(n).map(|()| buffer)
                            };
                            buffer = $tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
                        }
                        Ok(())
                    };
                    let task = $tokio::spawn(task);
                    async move { task.await.map_err(io::Error::other)? }
                });
                timed(now, tasks).await
            })
        }
    };
}

on_pool!(on_tokio_pool, tokio);
on_pool!(on_spargio_pool, spargio);

fn on_native(plan: Plan, now: impl Fn() -> u64) -> io::Result<u64> {
    use spargio::native::AlignedBuf;

    let runtime = spargio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let tasks = (0..plan.depth).map(|lane| {
            let plan = plan.clone();
            let task = async move {
                let file = spargio::fs::File::from_std(open(&plan)?);
                let mut buffer = AlignedBuf::new(BLOCK, BLOCK);
                for offset in plan.offsets(lane) {
                    let (result, read) = file.native().read_at(buffer, offset).await;
                    check(result?)?;
                    buffer = read;
                }
                Ok(())
            };
            let task = spargio::spawn(task);
            async move { task.await.map_err(io::Error::other)? }
        });
        timed(now, tasks).await
    })
}

fn on_tokio_uring(plan: Plan, now: impl Fn() -> u64) -> io::Result<u64> {
    use tokio_uring::buf::BoundedBuf;

    tokio_uring::start(async {
        let tasks = (0..plan.depth).map(|lane| {
            let plan = plan.clone();
            let task = async move {
                let file = tokio_uring::fs::File::from_std(open(&plan)?);
                let (mut buffer, start) = buffer();
                for offset in plan.offsets(lane) {
                    let (result, read) = file.read_at(buffer.slice(start..start + BLOCK), offset).await;
                    check(result?)?;
                    buffer = read.into_inner();
                }
                Ok(())
            };
            let task = tokio_uring::spawn(task);
            async move { task.await.map_err(io::Error::other)? }
        });
        timed(now, tasks).await
    })
}

fn on_monoio(plan: Plan, now: impl Fn() -> u64) -> io::Result<u64> {
    use monoio::buf::IoBufMut;

    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build()?;
    runtime.block_on(async {
        let tasks = (0..plan.depth).map(|lane| {
            let plan = plan.clone();
            monoio::spawn(async move {
                let file = monoio::fs::File::from_std(open(&plan)?)?;
                let (mut buffer, start) = buffer();
                for offset in plan.offsets(lane) {
                    let (result, read) = file.read_at(buffer.slice_mut(start..start + BLOCK), offset).await;
                    check(result?)?;
                    buffer = read.into_inner();
                }
                Ok(())
            })
        });
        timed(now, tasks).await
    })
}

fn on_compio(plan: Plan, now: impl Fn() -> u64) -> io::Result<u64> {
    use compio::BufResult;
    use compio::buf::{IntoInner, IoBuf};
    use compio::io::AsyncReadAt;

    compio::runtime::Runtime::new()?.block_on(async {
        let tasks = (0..plan.depth).map(|lane| {
            let plan = plan.clone();
            let task = compio::runtime::spawn(async move {
                let flags = if plan.direct { libc::O_DIRECT } else { 0 };
                let mut options = compio::fs::OpenOptions::new();
                let file = options.read(true).custom_flags(flags).open(&plan.path).await?;
                let (mut buffer, start) = buffer();
                for offset in plan.offsets(lane) {
                    let BufResult(result, read) =
                        file.read_at(buffer.slice(start..start + BLOCK), offset).await;
                    check(result?)?;
                    buffer = read.into_inner();
                }
                Ok(())
            });
            async move { task.await.map_err(|_| io::Error::other("a task panicked"))? }
        });
        timed(now, tasks).await
    })
}

fn on_glommio(plan: Plan, now: impl Fn() -> u64) -> io::Result<u64> {
    use glommio::io::{BufferedFile, DmaFile};
    use glommio::{LocalExecutorBuilder, Placement};

    use crate::servers::glommio::plain;

    /// Glommio's two kinds of files; it brings the buffers.
    enum File {
        Buffered(BufferedFile),
        Direct(DmaFile),
    }

    let executor = LocalExecutorBuilder::new(Placement::Unbound).make().map_err(plain)?;
    executor.run(async {
        let plan = Rc::new(plan);
        let tasks = (0..plan.depth).map(|lane| {
            let plan = plan.clone();
            glommio::spawn_local(async move {
                let file = if plan.direct {
                    File::Direct(DmaFile::open(&plan.path).await.map_err(plain)?)
                } else {
                    File::Buffered(BufferedFile::open(&plan.path).await.map_err(plain)?)
                };
                for offset in plan.offsets(lane) {
                    let read = match &file {
                        File::Buffered(file) => file.read_at(offset, BLOCK).await,
                        File::Direct(file) => file.read_at_aligned(offset, BLOCK).await,
                    };
                    check(read.map_err(plain)?.len())?;
                }
                let closed = match file {
                    File::Buffered(file) => file.close().await,
                    File::Direct(file) => file.close().await,
                };
                closed.map_err(plain)
            })
        });
        timed(now, tasks).await
    })
}
