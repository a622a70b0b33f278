//! A kernel that has rings, but not all operations.

use crate::fs;
use crate::runtime::{BackendKind, Builder, Runtime};
use crate::sys::fault::Script;

use io_uring::opcode;

use std::path::Path;

/// Makes every call that a ring may do, and looks at what is there then.
async fn tour(folder: &Path) {
    let [one, two, three, four, sub] = ["one", "two", "three", "four", "sub"].map(|name| folder.join(name));
    let file = fs::File::create(&one).await.unwrap();
    file.set_len(5).await.unwrap();
    file.sync_all().await.unwrap();
    assert_eq!(fs::read(&one).await.unwrap(), [0; 5]);
    fs::hard_link(&one, &two).await.unwrap();
    fs::symlink(&two, &three).await.unwrap();
    fs::rename(&two, &four).await.unwrap();
    assert!(fs::metadata(&three).await.is_err());
    fs::create_dir(&sub).await.unwrap();
    assert!(fs::create_dir(&sub).await.is_err());
    fs::remove_dir(&sub).await.unwrap();
    fs::remove_file(&three).await.unwrap();
    let mut left = fs::read_dir(folder).await.unwrap();
    let mut names = Vec::new();
    while let Some(entry) = left.next_entry().await.unwrap() {
        names.push(entry.file_name());
    }
    names.sort();
    assert_eq!(names, ["four", "one"]);
}

/// How many operations the ring was given, and how many threads the blocking pool needed.
fn effort(script: &Script) -> (u64, usize) {
    let _installed = script.install();
    let folder = tempfile::tempdir().unwrap();
    let rt: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(rt.handle().backend().kind(), BackendKind::IoUring);
    let submissions = || rt.handle().remote(rt.handle().shards().next().unwrap()).unwrap().stats().submissions;
    let before = submissions();
    rt.block_on(tour(folder.path()));
    let after = submissions();
    (after - before, rt.handle().inner.blocking_spawner().num_blocking_threads())
}

#[test]
fn h29_what_the_kernel_lacks_is_done_by_the_pool() {
    let (all, _) = effort(&Script::default());
    assert!(all >= 9, "{all}");
    let operations = [
        opcode::OpenAt::CODE,
        opcode::RenameAt::CODE,
        opcode::UnlinkAt::CODE,
        opcode::MkDirAt::CODE,
        opcode::LinkAt::CODE,
        opcode::SymlinkAt::CODE,
        opcode::Fsync::CODE,
    ];
    for opcode in operations {
        let (some, threads) = effort(&Script::default().hide(opcode));
        assert!((1..all).contains(&some), "opcode {opcode}: {some} of {all}");
        assert!(threads > 0);
    }
    let (none, threads) = effort(&operations.into_iter().fold(Script::default(), Script::hide));
    assert_eq!(none, 0);
    assert!(threads > 0);
}
