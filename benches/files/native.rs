//! What stands beside `fs::File` with `O_DIRECT`: the same reads on the native lane.

use std::io;
use std::path::Path;

use spargio::fs::OpenOptions;
use spargio::native::AlignedBuf;
use spargio::task::JoinSet;

use super::on_spargio::Subject;
use super::{BLOCK, TASKS, offsets};

/// Each task reads `n` blocks here and there, into one buffer that it gives away and gets back.
pub(crate) fn direct(subject: &Subject, n: u64, path: &Path, blocks: u64) -> io::Result<()> {
    let path = path.to_owned();
    subject.run(async move {
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let path = path.clone();
            tasks.spawn(async move {
                let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path).await?;
                let mut block = AlignedBuf::new(BLOCK, BLOCK);
                for offset in offsets(task, n, blocks) {
                    let (size, back) = file.native().read_exact_at(block, offset).await;
                    size?;
                    block = back;
                    block.set_len(0);
                }
                io::Result::Ok(())
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.expect("no panic")?;
        }
        Ok(())
    })
}
