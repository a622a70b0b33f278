//! Files, children and signals.

use std::io::SeekFrom;
use std::process::Stdio;
use std::time::Duration;

use fastrand::Rng;

use super::super::ledger::End;
use super::run::{Place, join, noise};
use super::tokio;
use super::tokio::fs::{self, OpenOptions};
use super::tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use super::tokio::process::Command;
use super::tokio::signal::unix::{SignalKind, signal};
use super::tokio::time::{sleep, timeout};
use crate::check;

/// A file, and what should be in it.
pub async fn files(place: Place, mut rng: Rng) -> End {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("file");
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).await?;
    let (mut model, mut at) = (Vec::<u8>::new(), 0);
    for _ in 0..rng.u32(1..40) {
        match rng.u32(..10) {
            0..3 => {
                place.step("writing");
                let bytes = vec![rng.u8(..); rng.usize(..10_000)];
                file.write_all(&bytes).await?;
                // Reads and seeks of the file come after what was written; others see it after this.
                file.flush().await?;
                model.resize(model.len().max(at + bytes.len()), 0);
                model[at..at + bytes.len()].copy_from_slice(&bytes);
                at += bytes.len();
            }
            3 => {
                place.step("reading");
                let mut room = vec![0; rng.usize(1..10_000)];
                let n = file.read(&mut room).await?;
                let rest = model.get(at..).unwrap_or_default();
                check!(n == room.len().min(rest.len()), "{n} bytes read of {} at {at}", rest.len());
                check!(room[..n] == rest[..n], "other bytes at {at}");
                at += n;
            }
            4 => {
                place.step("seeking");
                let to = rng.usize(..model.len() + 1);
                check!(file.seek(SeekFrom::Start(to as u64)).await? == to as u64, "somewhere else than {to}");
                at = to;
            }
            5 => {
                place.step("setting the length");
                let len = rng.usize(..model.len() + 100);
                file.set_len(len as u64).await?;
                model.resize(len, 0);
            }
            6 => {
                place.step("asking for the length");
                check!(file.metadata().await?.len() == model.len() as u64, "another length");
            }
            7 => {
                place.step("reading everything");
                check!(fs::read(&path).await? == model, "other contents");
            }
            8 => {
                place.step("syncing");
                // In time or not, it harms nobody.
                let _ = timeout(Duration::from_micros(rng.u64(..2_000)), file.sync_data()).await;
            }
            _ => {
                let (from, to) = (dir.path().join("a"), dir.path().join("b"));
                place.step("writing a file");
                fs::write(&from, b"contents").await?;
                // Given up or not, it happens.
                place.step("renaming");
                let _ = timeout(Duration::from_micros(rng.u64(..200)), fs::rename(&from, &to)).await;
                while !fs::try_exists(&to).await? {
                    sleep(Duration::from_millis(1)).await;
                }
                place.step("removing");
                check!(fs::read_to_string(&to).await? == "contents", "other contents");
                fs::remove_file(&to).await?;
            }
        }
        noise(&place, &mut rng).await?;
    }
    drop(file);
    place.step("reading everything");
    check!(fs::read(&path).await? == model, "other contents at the end");
    place.step("listing");
    let mut entries = fs::read_dir(dir.path()).await?;
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        names.push(entry.file_name());
    }
    check!(names == ["file"], "{names:?} in the directory");
    Ok(())
}

async fn child(place: Place, mut rng: Rng) -> End {
    let mut command = Command::new("sh");
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    match rng.u32(..6) {
        0 => {
            let code = rng.i32(0..100);
            let mut child = command.args(["-c", &format!("exit {code}")]).spawn()?;
            noise(&place, &mut rng).await?;
            place.step("waiting for a child");
            let _ = timeout(Duration::from_micros(rng.u64(..2_000)), child.wait()).await;
            let status = child.wait().await?;
            check!(status.code() == Some(code), "a child ended with {status} instead of {code}");
            check!(child.wait().await? == status, "another status the second time");
        }
        1 => {
            let mut child = command.args(["-c", "exec sleep 1000"]).spawn()?;
            noise(&place, &mut rng).await?;
            place.step("killing a child");
            child.kill().await?;
            check!(child.wait().await?.code().is_none(), "a child was not killed");
        }
        2 => {
            let child = command.args(["-c", "exec sleep 1000"]).spawn()?;
            noise(&place, &mut rng).await?;
            // It must be gone at the end of the program.
            drop(child);
        }
        3 => {
            let n = rng.usize(..100_000);
            command.args(["-c", &format!("head -c {n} /dev/zero; echo no >&2; exit 3")]);
            place.step("waiting for output");
            let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await?;
            check!(output.stdout.len() == n, "{} bytes of {n}", output.stdout.len());
            check!(output.stderr == b"no\n" && output.status.code() == Some(3), "{output:?}");
        }
        4 => {
            let mut child = command.arg("-c").arg("cat; exit 4").stdin(Stdio::piped()).spawn()?;
            place.step("closing a child's input");
            let mut input = child.stdin.take().unwrap();
            input.write_all(b"abc").await?;
            drop(input);
            check!(child.wait().await?.code() == Some(4), "cat went wrong");
        }
        _ => {
            command.args(["-c", "echo first; exec sleep 1000"]).stdout(Stdio::piped());
            let mut child = command.spawn()?;
            let mut output = child.stdout.take().unwrap();
            let mut line = [0; 6];
            place.step("waiting for a line");
            output.read_exact(&mut line).await?;
            child.start_kill()?;
            place.step("waiting for the end of a child's output");
            check!(output.read(&mut line).await? == 0, "more output");
            check!(!child.wait().await?.success(), "a killed child succeeded");
        }
    }
    Ok(())
}

pub async fn children(place: Place, mut rng: Rng) -> End {
    let some: Vec<_> = (0..rng.u32(1..4)).map(|_| place.spawn(child(place.clone(), rng.fork()))).collect();
    for child in some {
        join(child).await?;
    }
    Ok(())
}

/// Each listener hears of each signal (others may send the same one meanwhile).
pub async fn signals(place: Place, mut rng: Rng) -> End {
    let (kind, number) = super::super::plan::one(
        &mut rng,
        &[(SignalKind::user_defined1(), libc::SIGUSR1), (SignalKind::user_defined2(), libc::SIGUSR2)],
    );
    let mut listeners = Vec::new();
    for _ in 0..rng.u32(1..4) {
        listeners.push(signal(kind)?);
    }
    for _ in 0..rng.u32(1..6) {
        rustix::process::kill_process(
            rustix::process::getpid(),
            rustix::process::Signal::from_named_raw(number).ok_or("no such signal")?,
        )?;
        noise(&place, &mut rng).await?;
        for listener in &mut listeners {
            place.step("waiting for a signal");
            check!(listener.recv().await.is_some(), "no more signals");
        }
    }
    place.step("dropping listeners");
    drop(listeners);
    tokio::task::yield_now().await;
    Ok(())
}
