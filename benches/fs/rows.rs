// What is measured. `fs.rs` compiles this file twice: once where `tokio` is the published Tokio, once
// where it is spargio.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use self::tokio::fs::{self, File, OpenOptions};
use self::tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use self::tokio::runtime::{Builder, Runtime};

pub struct Subject {
    runtime: Runtime,
    folder: PathBuf,
}

impl Subject {
    pub fn new(folder: &Path) -> Subject {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("no runtime");
        Subject {
            runtime,
            folder: folder.to_owned(),
        }
    }

    fn run(&self, future: impl Future<Output = std::io::Result<()>> + Send + 'static) {
        let done = self.runtime.block_on(self.runtime.spawn(future));
        done.expect("no panic").expect("no error");
    }

    /// Reads a block here and there.
    pub fn seek_and_read(&self, n: u64, path: &Path, size: usize, blocks: u64) {
        let path = path.to_owned();
        self.run(async move {
            let mut file = File::open(path).await?;
            let mut buf = vec![0; size];
            for i in 0..n {
                file.seek(SeekFrom::Start(i * 7_919 % blocks * size as u64)).await?;
                file.read_exact(&mut buf).await?;
            }
            Ok(())
        });
    }

    /// Reads one piece after the other, from the start again and again.
    pub fn read_on(&self, n: u64, path: &Path, size: usize) {
        let path = path.to_owned();
        self.run(async move {
            let mut file = File::open(path).await?;
            let mut buf = vec![0; size];
            for _ in 0..n {
                if file.read(&mut buf).await? == 0 {
                    file.rewind().await?;
                }
            }
            Ok(())
        });
    }

    pub fn seek_and_write(&self, n: u64, path: &Path, size: usize, blocks: u64) {
        let path = path.to_owned();
        self.run(async move {
            let mut file = OpenOptions::new().write(true).open(path).await?;
            let buf = vec![9; size];
            for i in 0..n {
                file.seek(SeekFrom::Start(i * 7_919 % blocks * size as u64)).await?;
                file.write_all(&buf).await?;
                file.flush().await?;
            }
            Ok(())
        });
    }

    pub fn open(&self, n: u64, path: &Path) {
        let path = path.to_owned();
        self.run(async move {
            for _ in 0..n {
                drop(File::open(&path).await?);
            }
            Ok(())
        });
    }

    pub fn open_missing(&self, n: u64) {
        let path = self.folder.join("missing");
        self.run(async move {
            for _ in 0..n {
                assert!(File::open(&path).await.is_err());
            }
            Ok(())
        });
    }

    pub fn read_whole(&self, n: u64, path: &Path) {
        let path = path.to_owned();
        self.run(async move {
            for _ in 0..n {
                fs::read(&path).await?;
            }
            Ok(())
        });
    }

    pub fn metadata(&self, n: u64, path: &Path) {
        let path = path.to_owned();
        self.run(async move {
            for _ in 0..n {
                fs::metadata(&path).await?;
            }
            Ok(())
        });
    }

    pub fn file_metadata(&self, n: u64, path: &Path) {
        let path = path.to_owned();
        self.run(async move {
            let file = File::open(path).await?;
            for _ in 0..n {
                file.metadata().await?;
            }
            Ok(())
        });
    }

    pub fn rename(&self, n: u64) {
        let [from, to] = ["from", "to"].map(|name| self.folder.join(name));
        self.run(async move {
            fs::write(&from, "").await?;
            for i in 0..n {
                if i % 2 == 0 {
                    fs::rename(&from, &to).await?;
                } else {
                    fs::rename(&to, &from).await?;
                }
            }
            Ok(())
        });
    }

    pub fn create_and_remove(&self, n: u64) {
        let path = self.folder.join("new");
        self.run(async move {
            for _ in 0..n {
                drop(File::create(&path).await?);
                fs::remove_file(&path).await?;
            }
            Ok(())
        });
    }

    pub fn create_and_remove_dir(&self, n: u64) {
        let path = self.folder.join("new-dir");
        self.run(async move {
            for _ in 0..n {
                fs::create_dir(&path).await?;
                fs::remove_dir(&path).await?;
            }
            Ok(())
        });
    }

    pub fn symlink_and_remove(&self, n: u64) {
        let path = self.folder.join("new-symlink");
        self.run(async move {
            for _ in 0..n {
                fs::symlink("large", &path).await?;
                fs::remove_file(&path).await?;
            }
            Ok(())
        });
    }

    pub fn link_and_remove(&self, n: u64, original: &Path) {
        let original = original.to_owned();
        let path = self.folder.join("new-link");
        self.run(async move {
            for _ in 0..n {
                fs::hard_link(&original, &path).await?;
                fs::remove_file(&path).await?;
            }
            Ok(())
        });
    }

    pub fn set_len(&self, n: u64) {
        let path = self.folder.join("sized");
        self.run(async move {
            let file = File::create(path).await?;
            for i in 0..n {
                file.set_len(i % 2 * 4096).await?;
            }
            Ok(())
        });
    }

    pub fn sync_data(&self, n: u64, path: &Path) {
        let path = path.to_owned();
        self.run(async move {
            let file = File::open(path).await?;
            for _ in 0..n {
                file.sync_data().await?;
            }
            Ok(())
        });
    }
}
