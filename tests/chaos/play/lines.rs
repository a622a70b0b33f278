//! Messages through a line: each arrives once, in order, as it was sent.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::super::ledger::{End, Stop};
use super::run::{Boxed, Place, join, noise};
use super::tokio;
use super::tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, Interest};
use super::tokio::net::unix::pipe;
use super::tokio::net::{
    TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, tcp, unix,
};
use super::tokio::process::{Child, ChildStdin, ChildStdout, Command};
use super::tokio::sync::{Semaphore, mpsc};
use super::tokio::time::{sleep, timeout};
use crate::check;

pub enum Writer {
    Tcp(TcpStream),
    TcpHalf(tcp::OwnedWriteHalf),
    Unix(UnixStream),
    UnixHalf(unix::OwnedWriteHalf),
    Pipe(pipe::Sender),
    Duplex(DuplexStream),
    Child(ChildStdin),
}

pub enum Reader {
    Tcp(TcpStream),
    TcpHalf(tcp::OwnedReadHalf),
    Unix(UnixStream),
    UnixHalf(unix::OwnedReadHalf),
    Pipe(pipe::Receiver),
    Duplex(DuplexStream),
    Child(ChildStdout, Box<Child>),
}

pub enum Datagrams {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

pub enum Sender {
    Channel(mpsc::Sender<Vec<u8>>),
    Unbounded(mpsc::UnboundedSender<Vec<u8>>),
    Stream(Writer),
    /// No more of them at a time than the receiver has room for.
    Datagrams(Datagrams, Arc<Semaphore>),
}

pub enum Receiver {
    Channel(mpsc::Receiver<Vec<u8>>),
    Unbounded(mpsc::UnboundedReceiver<Vec<u8>>),
    Stream(Reader, Vec<u8>),
    Datagrams(Datagrams, Arc<Semaphore>),
}

const HEAD: usize = 12;

fn moment(rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.u64(..300))
}

fn message(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + len);
    bytes.extend((len as u32).to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend((0..len).map(|i| (number as usize).wrapping_mul(31).wrapping_add(i) as u8));
    bytes
}

impl Writer {
    fn io(&mut self) -> &mut (dyn AsyncWrite + Send + Unpin) {
        match self {
            Writer::Tcp(w) => w,
            Writer::TcpHalf(w) => w,
            Writer::Unix(w) => w,
            Writer::UnixHalf(w) => w,
            Writer::Pipe(w) => w,
            Writer::Duplex(w) => w,
            Writer::Child(w) => w,
        }
    }

    /// Waits until it is writable, and tries.
    async fn attempt(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let attempt = match self {
            Writer::Tcp(w) => {
                w.writable().await?;
                w.try_write(bytes)
            }
            Writer::TcpHalf(w) => {
                w.ready(Interest::WRITABLE).await?;
                w.try_write(bytes)
            }
            Writer::Unix(w) => {
                w.writable().await?;
                w.try_write(bytes)
            }
            Writer::UnixHalf(w) => {
                w.writable().await?;
                w.try_write(bytes)
            }
            Writer::Pipe(w) => {
                w.writable().await?;
                w.try_write(bytes)
            }
            Writer::Duplex(_) | Writer::Child(_) => self.io().write(bytes).await,
        };
        match attempt {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    async fn put(&mut self, mut bytes: &[u8], rng: &mut Rng) -> End {
        while !bytes.is_empty() {
            let n = match rng.u32(..8) {
                0 => self.io().write(bytes).await?,
                1 => timeout(moment(rng), self.io().write(bytes)).await.unwrap_or(Ok(0))?,
                2 => self.attempt(bytes).await?,
                3 => timeout(moment(rng), self.attempt(bytes)).await.unwrap_or(Ok(0))?,
                4 => tokio::select! {
                    () = sleep(moment(rng)) => 0,
                    n = self.io().write(bytes) => n?,
                },
                5 => {
                    let (a, b) = bytes.split_at(rng.usize(..bytes.len()));
                    let parts = [std::io::IoSlice::new(a), std::io::IoSlice::new(b)];
                    self.io().write_vectored(&parts).await?
                }
                _ => {
                    self.io().write_all(bytes).await?;
                    bytes.len()
                }
            };
            check!(n <= bytes.len(), "{n} bytes written of {}", bytes.len());
            bytes = &bytes[n..];
        }
        if rng.u32(..8) == 0 {
            self.io().flush().await?;
        }
        Ok(())
    }

    /// Out of the runtime, and into it again.
    fn anew(self) -> Result<Writer, Stop> {
        Ok(match self {
            Writer::Tcp(w) => Writer::Tcp(TcpStream::from_std(w.into_std()?)?),
            Writer::Unix(w) => Writer::Unix(UnixStream::from_std(w.into_std()?)?),
            Writer::Pipe(w) => Writer::Pipe(pipe::Sender::from_owned_fd(w.into_nonblocking_fd()?)?),
            other => other,
        })
    }
}

impl Reader {
    fn io(&mut self) -> &mut (dyn AsyncRead + Send + Unpin) {
        match self {
            Reader::Tcp(r) => r,
            Reader::TcpHalf(r) => r,
            Reader::Unix(r) => r,
            Reader::UnixHalf(r) => r,
            Reader::Pipe(r) => r,
            Reader::Duplex(r) => r,
            Reader::Child(r, _) => r,
        }
    }

    /// Waits until it is readable, and tries. Nothing: not this time.
    async fn attempt(&mut self, room: &mut [u8], rng: &mut Rng) -> std::io::Result<Option<usize>> {
        let attempt = match self {
            Reader::Tcp(r) => {
                if rng.bool() {
                    r.readable().await?;
                } else {
                    r.peek(&mut room[..1]).await?;
                }
                r.try_read(room)
            }
            Reader::TcpHalf(r) => {
                r.readable().await?;
                r.try_read(room)
            }
            Reader::Unix(r) => {
                r.ready(Interest::READABLE).await?;
                r.try_read(room)
            }
            Reader::UnixHalf(r) => {
                r.readable().await?;
                r.try_read(room)
            }
            Reader::Pipe(r) => {
                r.readable().await?;
                r.try_read(room)
            }
            Reader::Duplex(_) | Reader::Child(..) => self.io().read(room).await,
        };
        match attempt {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            other => other.map(Some),
        }
    }

    /// More bytes, or the end.
    async fn get(&mut self, buf: &mut Vec<u8>, rng: &mut Rng) -> Result<bool, Stop> {
        let size = super::super::plan::one(rng, &[1, 7, 100, 5_000, 70_000]);
        let mut room = vec![0; size];
        loop {
            let n = match rng.u32(..5) {
                0 => Some(self.io().read(&mut room).await?),
                1 => timeout(moment(rng), self.io().read(&mut room)).await.ok().transpose()?,
                2 => self.attempt(&mut room, rng).await?,
                3 => {
                    let limit = moment(rng);
                    timeout(limit, self.attempt(&mut room, rng)).await.unwrap_or(Ok(None))?
                }
                _ => tokio::select! {
                    biased;
                    n = self.io().read(&mut room) => Some(n?),
                    () = sleep(moment(rng)) => None,
                },
            };
            if let Some(n) = n {
                buf.extend(&room[..n]);
                return Ok(n > 0);
            }
        }
    }

    fn anew(self) -> Result<Reader, Stop> {
        Ok(match self {
            Reader::Tcp(r) => Reader::Tcp(TcpStream::from_std(r.into_std()?)?),
            Reader::Unix(r) => Reader::Unix(UnixStream::from_std(r.into_std()?)?),
            Reader::Pipe(r) => Reader::Pipe(pipe::Receiver::from_owned_fd(r.into_nonblocking_fd()?)?),
            other => other,
        })
    }
}

impl Datagrams {
    async fn send(&self, bytes: &[u8], rng: &mut Rng) -> End {
        loop {
            let sent = match (self, rng.u32(..3)) {
                (Datagrams::Udp(s), 0) => {
                    s.writable().await?;
                    s.try_send(bytes)
                }
                (Datagrams::Unix(s), 0) => {
                    s.writable().await?;
                    s.try_send(bytes)
                }
                (Datagrams::Udp(s), 1) => timeout(moment(rng), s.send(bytes)).await.unwrap_or(Ok(usize::MAX)),
                (Datagrams::Unix(s), 1) => {
                    timeout(moment(rng), s.send(bytes)).await.unwrap_or(Ok(usize::MAX))
                }
                (Datagrams::Udp(s), _) => s.send(bytes).await,
                (Datagrams::Unix(s), _) => s.send(bytes).await,
            };
            match sent {
                Ok(usize::MAX) => {}
                Ok(n) => {
                    check!(n == bytes.len(), "{n} bytes sent of {}", bytes.len());
                    return Ok(());
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    async fn recv(&self, rng: &mut Rng) -> Result<Vec<u8>, Stop> {
        let mut room = vec![0; 66_000];
        loop {
            let received = match (self, rng.u32(..3)) {
                (Datagrams::Udp(s), 0) => {
                    s.readable().await?;
                    s.try_recv(&mut room)
                }
                (Datagrams::Unix(s), 0) => {
                    s.readable().await?;
                    s.try_recv(&mut room)
                }
                (Datagrams::Udp(s), 1) => {
                    timeout(moment(rng), s.recv(&mut room)).await.unwrap_or(Ok(usize::MAX))
                }
                (Datagrams::Unix(s), 1) => {
                    timeout(moment(rng), s.recv(&mut room)).await.unwrap_or(Ok(usize::MAX))
                }
                (Datagrams::Udp(s), _) => s.recv(&mut room).await,
                (Datagrams::Unix(s), _) => s.recv(&mut room).await,
            };
            match received {
                Ok(usize::MAX) => {}
                Ok(n) => {
                    room.truncate(n);
                    return Ok(room);
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Sender {
    pub async fn send(&mut self, bytes: Vec<u8>, rng: &mut Rng) -> End {
        match self {
            Sender::Channel(channel) => Ok(channel.send(bytes).await?),
            Sender::Unbounded(channel) => Ok(channel.send(bytes)?),
            Sender::Stream(writer) => writer.put(&bytes, rng).await,
            Sender::Datagrams(socket, room) => {
                room.acquire().await?.forget();
                socket.send(&bytes, rng).await
            }
        }
    }

    /// Tells the receiver that this is all.
    pub async fn finish(mut self, rng: &mut Rng) -> End {
        match &mut self {
            Sender::Stream(writer) if rng.bool() => Ok(writer.io().shutdown().await?),
            Sender::Datagrams(..) => self.send(Vec::new(), rng).await,
            _ => Ok(()),
        }
    }
}

impl Receiver {
    /// The next message, if there is one.
    pub async fn recv(&mut self, rng: &mut Rng) -> Result<Option<Vec<u8>>, Stop> {
        match self {
            Receiver::Channel(channel) => Ok(channel.recv().await),
            Receiver::Unbounded(channel) => Ok(channel.recv().await),
            Receiver::Datagrams(socket, room) => {
                let bytes = socket.recv(rng).await?;
                room.add_permits(1);
                Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
            }
            Receiver::Stream(reader, buf) => loop {
                if let Some(len) = buf.first_chunk::<4>() {
                    let whole = HEAD + u32::from_le_bytes(*len) as usize;
                    if buf.len() >= whole {
                        return Ok(Some(buf.drain(..whole).collect()));
                    }
                }
                if !reader.get(buf, rng).await? {
                    check!(buf.is_empty(), "the stream ends in a message: {} bytes", buf.len());
                    if let Reader::Child(_, child) = reader {
                        let status = child.wait().await?;
                        check!(status.success(), "cat ended with {status}");
                    }
                    return Ok(None);
                }
            },
        }
    }
}

/// A piece of a line.
pub async fn piece(rng: &mut Rng) -> Result<(Sender, Receiver), Stop> {
    let stream = |w, r| (Sender::Stream(w), Receiver::Stream(r, Vec::new()));
    let tcp = async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (ours, theirs) = tokio::try_join!(TcpStream::connect(address), listener.accept())?;
        Ok::<_, Stop>((ours, theirs.0))
    };
    Ok(match rng.u32(..13) {
        0 => {
            let (tx, rx) = mpsc::channel(rng.usize(1..5));
            (Sender::Channel(tx), Receiver::Channel(rx))
        }
        1 => {
            let (tx, rx) = mpsc::unbounded_channel();
            (Sender::Unbounded(tx), Receiver::Unbounded(rx))
        }
        2 | 3 => {
            let (w, r) = tcp().await?;
            stream(Writer::Tcp(w), Reader::Tcp(r))
        }
        4 | 5 => {
            let (w, r) = tcp().await?;
            let (unread, w) = w.into_split();
            let (r, unwritten) = r.into_split();
            // A half that is gone ends its own direction only.
            unwritten.forget();
            drop(unread);
            stream(Writer::TcpHalf(w), Reader::TcpHalf(r))
        }
        6 => {
            let (w, r) = UnixStream::pair()?;
            stream(Writer::Unix(w), Reader::Unix(r))
        }
        7 => {
            let dir = tempfile::tempdir()?;
            let path = dir.path().join("socket");
            let listener = UnixListener::bind(&path)?;
            let (w, r) = tokio::try_join!(UnixStream::connect(&path), listener.accept())?;
            stream(Writer::UnixHalf(w.into_split().1), Reader::UnixHalf(r.0.into_split().0))
        }
        8 | 9 => {
            let (w, r) = pipe::pipe()?;
            stream(Writer::Pipe(w), Reader::Pipe(r))
        }
        10 => {
            let (w, r) = tokio::io::duplex(rng.usize(1..10_000));
            stream(Writer::Duplex(w), Reader::Duplex(r))
        }
        11 if rng.bool() => {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
            let mut child = command.spawn()?;
            let (w, r) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            stream(Writer::Child(w), Reader::Child(r, Box::new(child)))
        }
        11 => {
            let (a, b) = UnixDatagram::pair()?;
            let room = Arc::new(Semaphore::new(rng.usize(1..20)));
            (
                Sender::Datagrams(Datagrams::Unix(a), room.clone()),
                Receiver::Datagrams(Datagrams::Unix(b), room),
            )
        }
        _ => {
            let (a, b) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
            a.connect(b.local_addr()?).await?;
            b.connect(a.local_addr()?).await?;
            let room = Arc::new(Semaphore::new(2));
            (Sender::Datagrams(Datagrams::Udp(a), room.clone()), Receiver::Datagrams(Datagrams::Udp(b), room))
        }
    })
}

/// Passes on what comes; goes on in another task now and then.
fn relay(place: Place, mut rng: Rng, mut from: Receiver, mut to: Sender) -> Boxed<End> {
    Box::pin(async move {
        while let Some(bytes) = from.recv(&mut rng).await? {
            noise(&place, &mut rng).await?;
            to.send(bytes, &mut rng).await?;
            if rng.u32(..20) == 0 {
                if let (true, Sender::Stream(writer)) = (rng.bool(), &mut to) {
                    let placeholder = Writer::Duplex(tokio::io::duplex(1).0);
                    *writer = std::mem::replace(writer, placeholder).anew()?;
                }
                if let (true, Receiver::Stream(reader, _)) = (rng.bool(), &mut from) {
                    let placeholder = Reader::Duplex(tokio::io::duplex(1).0);
                    *reader = std::mem::replace(reader, placeholder).anew()?;
                }
                let next = relay(place.clone(), rng, from, to);
                return join(place.spawn(next)).await;
            }
        }
        to.finish(&mut rng).await
    })
}

pub async fn play(place: Place, mut rng: Rng) -> End {
    let total = rng.u64(1..60);
    let longest = super::super::plan::one(&mut rng, &[1, 16, 200, 3_000, 40_000]);
    place.step("making a line");
    let (mut first, mut last) = piece(&mut rng).await?;
    let mut relays = Vec::new();
    for _ in 0..rng.u32(..4) {
        let (next, end) = piece(&mut rng).await?;
        let from = std::mem::replace(&mut last, end);
        relays.push(place.spawn(relay(place.clone(), rng.fork(), from, next)));
    }
    let (source, mut noises) = (place.clone(), rng.fork());
    let source = place.spawn(async move {
        for number in 0..total {
            noise(&source, &mut noises).await?;
            first.send(message(number, noises.usize(..longest)), &mut noises).await?;
        }
        first.finish(&mut noises).await
    });
    let mut expected = 0;
    place.step("receiving");
    while let Some(bytes) = last.recv(&mut rng).await? {
        place.step("received a message");
        check!(bytes.len() >= HEAD, "a message of {} bytes", bytes.len());
        check!(
            bytes == message(expected, bytes.len() - HEAD),
            "not message {expected}: {:?}",
            &bytes[..HEAD]
        );
        expected += 1;
        noise(&place, &mut rng).await?;
        place.step("receiving");
    }
    check!(expected == total, "{expected} messages of {total}");
    place.step("waiting for the source");
    join(source).await?;
    for task in relays {
        place.step("waiting for a relay");
        join(task).await?;
    }
    Ok(())
}
