//! A chat server: a line from one client goes to all others.
//!
//! ```text
//! cargo run --example chat            # 127.0.0.1:7778
//! nc 127.0.0.1 7778                   # in two terminals or more
//! ```
//!
//! One broadcast channel connects all clients. A client that reads too slowly misses lines
//! and is told how many; it never holds up the others.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::sleep;

/// Lines kept for slow readers.
const BACKLOG: usize = 64;

#[derive(Clone)]
struct Line {
    /// Number of the client that wrote it.
    from: u64,
    text: String,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7778".into());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on {}", listener.local_addr()?);

    let (room, _) = broadcast::channel(BACKLOG);
    let mut clients = 0;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("accept: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        clients += 1;
        let (client, room) = (clients, room.clone());
        tokio::spawn(async move {
            println!("{peer} is client {client}");
            if let Err(error) = chat(client, stream, room).await {
                eprintln!("client {client}: {error}");
            }
            println!("client {client} has left");
        });
    }
}

async fn chat(client: u64, stream: TcpStream, room: broadcast::Sender<Line>) -> io::Result<()> {
    let say = |text: String| {
        // An error means that nobody listens, not even this client: it is about to leave.
        let _ = room.send(Line { from: client, text });
    };

    let mut inbox = room.subscribe();
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();

    writer.write_all(format!("* you are client {client}\n").as_bytes()).await?;
    say("* has joined".into());

    let result = loop {
        // Both branches may be dropped at any time without losing a line.
        tokio::select! {
            line = lines.next_line() => match line {
                Ok(Some(text)) => say(text),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            },
            line = inbox.recv() => {
                let text = match line {
                    Ok(line) if line.from == client => continue,
                    Ok(line) => format!("{}: {}\n", line.from, line.text),
                    Err(RecvError::Lagged(n)) => format!("* you missed {n} lines\n"),
                    Err(RecvError::Closed) => break Ok(()),
                };
                if let Err(error) = writer.write_all(text.as_bytes()).await {
                    break Err(error);
                }
            }
        }
    };
    say("* has left".into());
    result
}
