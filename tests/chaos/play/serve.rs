//! A server, and clients that come and go: each is answered, and the end of one is seen by the other.

use std::time::Duration;

use fastrand::Rng;

use super::super::ledger::End;
use super::run::{Place, join, noise};
use super::tokio;
use super::tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use super::tokio::net::{TcpListener, TcpStream};
use super::tokio::time::timeout;
use crate::check;

async fn echo(place: Place, mut rng: Rng, stream: TcpStream) -> End {
    let (reader, writer) = stream.into_split();
    let (mut reader, mut writer) = (BufReader::new(reader), BufWriter::new(writer));
    // The end of a client that leaves in the middle is an end as any other.
    while let Ok(len) = reader.read_u16().await {
        let mut bytes = vec![0; len.into()];
        if reader.read_exact(&mut bytes).await.is_err() {
            break;
        }
        noise(&place, &mut rng).await?;
        let answer = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        if answer.await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn client(place: Place, mut rng: Rng, address: std::net::SocketAddr) -> End {
    place.step("connecting");
    let mut stream = TcpStream::connect(address).await?;
    let pause = Duration::from_micros(rng.u64(..500));
    for _ in 0..rng.u32(1..12) {
        let len = rng.u16(..4_000);
        let bytes = vec![rng.u8(..); len.into()];
        stream.write_u16(len).await?;
        stream.write_all(&bytes).await?;
        let mut answer = vec![0; len.into()];
        if rng.u32(..12) == 0 {
            // Leaves before it has its answer, or in the middle of it.
            let _ = timeout(pause, stream.read_exact(&mut answer)).await;
            return Ok(());
        }
        place.step("waiting for an answer");
        stream.read_exact(&mut answer).await?;
        check!(answer == bytes, "another answer");
        noise(&place, &mut rng).await?;
    }
    match rng.u32(..3) {
        0 => drop(stream),
        1 => {
            place.step("dropping on another thread");
            std::thread::spawn(move || drop(stream)).join().map_err(|_| "a drop panicked")?;
        }
        _ => {
            stream.shutdown().await?;
            place.step("waiting for the server's end");
            let n = stream.read(&mut [0]).await?;
            check!(n == 0, "more than was asked for");
        }
    }
    Ok(())
}

pub async fn play(place: Place, mut rng: Rng) -> End {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (accepting, mut noises) = (place.cut(), rng.fork());
    let server = place.spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let guard = accepting.guard();
                    let connection = echo(accepting.clone(), noises.fork(), accepted?.0);
                    connections.spawn(async move {
                        let _guard = guard;
                        connection.await
                    });
                }
                Some(ended) = connections.join_next() => ended??,
            }
            noise(&accepting, &mut noises).await?;
        }
        #[allow(unreachable_code)]
        End::Ok(())
    });
    let clients: Vec<_> =
        (0..rng.u32(1..12)).map(|_| place.spawn(client(place.clone(), rng.fork(), address))).collect();
    for client in clients {
        join(client).await?;
    }
    // One that is never accepted, or is cut off at once.
    let last = TcpStream::connect(address).await?;
    check!(!server.is_finished(), "the server has ended: {:?}", server.await.map(|end| end.err()));
    server.abort();
    place.step("waiting for the aborted server");
    check!(server.await.is_err_and(|e| e.is_cancelled()), "the server was not cancelled");
    let mut last = last;
    place.step("waiting for the end of a connection");
    // The end or a reset.
    check!(last.read(&mut [0]).await.unwrap_or(0) == 0, "an answer to nothing");
    Ok(())
}
