//! Things that several tasks, or several runtimes, have a hand in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use fastrand::Rng;

use super::super::ledger::{End, Stop};
use super::super::plan;
use super::lines;
use super::run::{Place, join, noise, shut_down};
use super::tokio;
use super::tokio::io::unix::AsyncFd;
use super::tokio::io::{AsyncReadExt, AsyncWriteExt, Interest, copy_bidirectional};
use super::tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket, UnixStream};
use super::tokio::runtime::Builder;
use super::tokio::time::{sleep, timeout};
use crate::check;

/// A socket of one runtime is used in another, which ends first; so is a timer.
pub async fn runtimes(place: Place, mut rng: Rng) -> End {
    let (mut tx, mut rx) = lines::piece(&mut rng).await?;
    let total = rng.u8(1..30);
    let (inner, mut noises) = (place.clone(), rng.fork());
    let pause = Duration::from_micros(rng.u64(..2_000));
    let timer = Box::pin(sleep(pause));
    let end = plan::one(&mut rng, &[plan::End::Drop, plan::End::Timeout(1), plan::End::Background]);
    let workers = rng.usize(..3);
    let there = place.block(move || {
        let mut builder =
            if workers == 0 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
        let rt = builder.worker_threads(workers.max(1)).enable_all().build()?;
        let half = total / 2;
        let (own, guard) = (inner.clone(), inner.guard());
        let result = rt.block_on(async {
            let task = tokio::spawn(async move {
                let _guard = guard;
                for n in 0..half {
                    own.step("receiving in another runtime");
                    let bytes = rx.recv(&mut noises).await?;
                    check!(
                        bytes == Some(vec![n; 12]) || bytes.as_ref().is_some_and(|b| b[11] == n),
                        "not {n}"
                    );
                    // On a current-thread one part of it is not allowed.
                    if workers > 0 {
                        noise(&own.cut(), &mut noises).await?;
                    }
                }
                Ok::<_, Stop>((rx, noises))
            });
            timer.await;
            task.await?
        });
        shut_down(rt, end);
        result
    });
    let own = place.clone();
    let source = place.spawn(async move {
        for n in 0..total {
            let mut message = vec![0; 12];
            // The length of what follows the head, none, and the number.
            message[11] = n;
            tx.send(message, &mut rng).await?;
            noise(&own, &mut rng).await?;
        }
        tx.finish(&mut rng).await
    });
    place.step("waiting for another runtime");
    let (mut rx, mut noises) = there.await??;
    for n in total / 2..total {
        place.step("receiving what is left");
        let bytes = rx.recv(&mut noises).await?;
        check!(bytes.as_ref().is_some_and(|bytes| bytes[11] == n), "not {n}: {bytes:?}");
    }
    check!(rx.recv(&mut noises).await?.is_none(), "one more");
    join(source).await
}

/// Many wait for the same socket: each datagram is one's.
pub async fn sharing(place: Place, mut rng: Rng) -> End {
    let (a, b) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    a.connect(b.local_addr()?).await?;
    let (b, heard) = (Arc::new(b), Arc::new(AtomicU64::new(0)));
    let total = rng.u64(1..60);
    let readers: Vec<_> = (0..rng.u32(1..6))
        .map(|_| {
            let (b, heard, own, mut rng) = (b.clone(), heard.clone(), place.cut(), rng.fork());
            place.spawn(async move {
                let mut room = [0; 16];
                loop {
                    let n = match rng.u32(..4) {
                        0 => b.recv(&mut room).await?,
                        1 => match timeout(Duration::from_micros(200), b.recv_from(&mut room)).await {
                            Ok(received) => received?.0,
                            Err(_) => continue,
                        },
                        2 => {
                            b.readable().await?;
                            match b.try_recv(&mut room) {
                                Ok(n) => n,
                                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => continue,
                                Err(e) => return Err(e.into()),
                            }
                        }
                        _ => b.async_io(Interest::READABLE, || b.try_recv(&mut room)).await?,
                    };
                    check!(n == 8, "{n} bytes of a datagram");
                    heard.fetch_add(1, SeqCst);
                    noise(&own, &mut rng).await?;
                }
                #[allow(unreachable_code)]
                End::Ok(())
            })
        })
        .collect();
    for n in 0..total {
        a.send(&n.to_le_bytes()).await?;
        place.step("waiting until somebody has it");
        while heard.load(SeqCst) <= n {
            sleep(Duration::from_micros(100)).await;
        }
    }
    for reader in readers {
        check!(!reader.is_finished(), "a reader ended: {:?}", reader.await.map(|end| end.err()));
        reader.abort();
        check!(reader.await.is_err_and(|e| e.is_cancelled()), "not cancelled");
    }
    check!(heard.load(SeqCst) == total, "{} of {total}", heard.load(SeqCst));
    Ok(())
}

/// Client, proxy, server; and the proxy may be cut.
pub async fn proxy(place: Place, mut rng: Rng) -> End {
    let (front, back) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let (to_front, to_back) = (front.local_addr()?, back.local_addr()?);
    let relay = place.spawn(async move {
        let (mut client, _) = front.accept().await?;
        let mut server = TcpStream::connect(to_back).await?;
        Ok::<_, Stop>(copy_bidirectional(&mut client, &mut server).await?)
    });
    let server = place.spawn(async move {
        let (mut stream, _) = back.accept().await?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await?;
        all.reverse();
        stream.write_all(&all).await?;
        End::Ok(())
    });
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(rng.bool())?;
    let mut client = socket.connect(to_front).await?;
    let bytes: Vec<u8> = (0..rng.usize(..300_000)).map(|i| (i * 7) as u8).collect();
    let is_cut = rng.u32(..4) == 0;
    let writes = async {
        for part in bytes.chunks(rng.usize(1..100_000)) {
            client.write_all(part).await?;
            noise(&place, &mut rng).await?;
        }
        client.shutdown().await?;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await?;
        Ok::<_, Stop>(answer)
    };
    if is_cut {
        let mut writes = Box::pin(writes);
        let early = timeout(Duration::from_millis(1), writes.as_mut()).await;
        relay.abort();
        let _ = relay.await;
        place.step("waiting for the end of a proxy");
        // The end or an error: the proxy is gone.
        if early.is_err() {
            let _ = writes.await;
        }
        server.abort();
        let _ = server.await;
        return Ok(());
    }
    place.step("waiting for an answer through a proxy");
    let answer = writes.await?;
    check!(answer.iter().rev().eq(bytes.iter()), "another answer: {} bytes of {}", answer.len(), bytes.len());
    let copied = join(relay).await?;
    check!(copied == (bytes.len() as u64, bytes.len() as u64), "{copied:?} copied");
    join(server).await
}

/// A descriptor that is somebody else's, watched by turns.
#[allow(deprecated)] // the safe way, in a file without unsafe code
pub async fn descriptors(place: Place, mut rng: Rng) -> End {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut theirs = UnixStream::from_std({
        theirs.set_nonblocking(true)?;
        theirs
    })?;
    let mut ours = AsyncFd::with_interest(ours, Interest::READABLE)?;
    for n in 0..rng.u8(1..30) {
        if rng.u32(..4) == 0 {
            // Not watched for a while.
            ours = AsyncFd::with_interest(ours.into_inner(), Interest::READABLE | Interest::WRITABLE)?;
        }
        if rng.bool() {
            let _ = timeout(Duration::from_micros(rng.u64(..200)), ours.readable()).await;
        }
        let own = place.clone();
        let mut noises = rng.fork();
        let writes = async {
            noise(&own, &mut noises).await?;
            theirs.write_u8(n).await?;
            End::Ok(())
        };
        place.step("waiting for a descriptor");
        let reads = async {
            loop {
                let mut guard = ours.readable().await?;
                let mut byte = [0];
                let read = guard.try_io(|fd| std::io::Read::read(&mut fd.get_ref(), &mut byte));
                if let Ok(read) = read {
                    check!(read? == 1 && byte == [n], "not {n}: {byte:?}");
                    return End::Ok(());
                }
            }
        };
        tokio::try_join!(writes, reads)?;
    }
    drop(theirs);
    place.step("waiting for the end of a descriptor");
    // Not at once: a child that another part is starting has a copy until it calls `exec`.
    loop {
        let mut guard = ours.readable().await?;
        if let Ok(read) = guard.try_io(|fd| std::io::Read::read(&mut fd.get_ref(), &mut [0])) {
            check!(read? == 0, "more than the end");
            return Ok(());
        }
    }
}
