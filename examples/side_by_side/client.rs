//! The load: a thread with many connections, each with one request under way at a time.
//!
//! It waits with mio, so it is no customer of either runtime.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// No server takes that long for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Open connections to a server.
pub struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    message: Vec<u8>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    sent_at: Instant,
    /// Bytes of the request that are out.
    sent: usize,
    /// Bytes of the answer that are in.
    received: usize,
}

impl Load {
    /// Opens `connections` connections, for messages of `size` bytes.
    pub fn connect(address: SocketAddr, connections: usize, size: usize) -> io::Result<Load> {
        let poll = Poll::new()?;
        let mut open = Vec::with_capacity(connections);
        for index in 0..connections {
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            open.push(Connection { stream, sent_at: Instant::now(), sent: size, received: size });
        }
        Ok(Load {
            poll,
            events: Events::with_capacity(1024),
            connections: open,
            message: (0..size).map(|i| i as u8).collect(),
            buffer: vec![0; size.min(64 * 1024)],
        })
    }

    /// Sends requests while `go_on`, which is told how many there were, says so; returns when
    /// all are answered, and how many there were. Adds the time of each, in nanoseconds, to
    /// `latencies`.
    pub fn run(&mut self, mut go_on: impl FnMut(u64) -> bool, latencies: &mut Vec<u32>) -> io::Result<u64> {
        let mut requests = 0;
        let mut under_way = 0usize;
        for connection in &mut self.connections {
            if !go_on(requests) {
                break;
            }
            requests += 1;
            under_way += 1;
            connection.start(&self.message)?;
        }
        while under_way > 0 {
            match self.poll.poll(&mut self.events, Some(PATIENCE)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            if self.events.is_empty() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer for {PATIENCE:?}")));
            }
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                if connection.is_answered() || !connection.advance(&self.message, &mut self.buffer)? {
                    continue;
                }
                latencies.push(u32::try_from(connection.sent_at.elapsed().as_nanos()).unwrap_or(u32::MAX));
                under_way -= 1;
                if go_on(requests) {
                    requests += 1;
                    under_way += 1;
                    connection.start(&self.message)?;
                }
            }
        }
        Ok(requests)
    }
}

impl Connection {
    fn is_answered(&self) -> bool {
        self.received == self.sent
    }

    /// Begins a request.
    fn start(&mut self, message: &[u8]) -> io::Result<()> {
        self.sent = 0;
        self.received = 0;
        self.sent_at = Instant::now();
        self.send(message)
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        while self.sent < message.len() {
            match self.stream.write(&message[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Goes on with the request; `true` once it is answered.
    fn advance(&mut self, message: &[u8], buffer: &mut [u8]) -> io::Result<bool> {
        self.send(message)?;
        while self.received < message.len() {
            match self.stream.read(buffer) {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server closed a connection",
                    ));
                }
                Ok(n) => {
                    let end = self.received + n;
                    if message.get(self.received..end) != Some(&buffer[..n]) {
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            "the answer is not the request",
                        ));
                    }
                    self.received = end;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
