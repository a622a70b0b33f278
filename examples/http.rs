//! An HTTP/1.1 server with keep-alive, pipelining, limits, and a graceful shutdown.
//!
//! ```text
//! cargo run --release --example http                       # 127.0.0.1:8080
//! cargo run --release --example http 127.0.0.1:0 --requests 1000
//! curl -i http://127.0.0.1:8080/
//! curl -i --data 'anything' http://127.0.0.1:8080/echo
//! ```
//!
//! It stops after the line `quit` on its standard input, or after `--requests` answers: no
//! new connections, idle ones are closed, requests that have begun are answered.
//!
//! The parser knows what the example needs. Do not put it on the Internet.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A request line with its header fields must fit in here.
const HEAD_LIMIT: usize = 8 * 1024;
const FIELD_LIMIT: usize = 64;
const BODY_LIMIT: usize = 64 * 1024;
/// How long a connection may be idle or take over a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long requests may take after the order to stop.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> io::Result<()> {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("usage: http [ADDRESS] [--requests N]");
        std::process::exit(2);
    };
    let listener = TcpListener::bind(&options.address).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let server =
        Arc::new(Server { stop: watch::Sender::new(false), answers_left: AtomicU64::new(options.requests) });
    stop_on_quit(server.clone());
    serve(listener, server).await
}

struct Options {
    address: String,
    requests: u64,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Options> {
        let mut options = Options { address: "127.0.0.1:8080".into(), requests: u64::MAX };
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--requests" => options.requests = args.next()?.parse().ok().filter(|&n| n > 0)?,
                flag if flag.starts_with('-') => return None,
                _ => options.address = arg,
            }
        }
        Some(options)
    }
}

struct Server {
    stop: watch::Sender<bool>,
    answers_left: AtomicU64,
}

impl Server {
    /// Counts an answer; the last one stops the server.
    fn answered(&self) {
        if self.answers_left.fetch_sub(1, Relaxed) == 1 {
            self.stop.send_replace(true);
        }
    }
}

/// Watches the standard input, on a thread that may be left behind in a read.
fn stop_on_quit(server: Arc<Server>) {
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if line.trim() == "quit" {
                server.stop.send_replace(true);
                return;
            }
        }
    });
}

async fn serve(listener: TcpListener, server: Arc<Server>) -> io::Result<()> {
    let mut stop = server.stop.subscribe();
    let mut connections = JoinSet::new();

    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, server.clone(), stop.clone()));
                }
                Err(error) => {
                    eprintln!("accept: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            // Forget the connections that have ended.
            Some(_) = connections.join_next() => {}
            _ = stop.changed() => break,
        }
    }

    drop(listener);
    println!("stopping, {} connections open", connections.len());
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, drained).await.is_err() {
        println!("{} connections did not end in time", connections.len());
        connections.shutdown().await;
    }
    println!("stopped");
    Ok(())
}

/// One connection from its first byte to its last.
async fn converse(stream: TcpStream, server: Arc<Server>, mut stop: watch::Receiver<bool>) {
    let mut connection = Connection { stream, received: Vec::new() };
    // Latency matters more than full packets; if it cannot be set, so be it.
    let _ = connection.stream.set_nodelay(true);

    let mut stopping = *stop.borrow();
    loop {
        let request = tokio::select! {
            biased;
            request = timeout(PATIENCE, connection.next_request()) => request,
            _ = stop.changed(), if !stopping => {
                if connection.received.is_empty() {
                    return;
                }
                // A request has begun to arrive: it is answered.
                stopping = true;
                continue;
            }
        };
        // Timed out, gone, or at its end: there is nobody to talk to.
        let Ok(Ok(Some(request))) = request else {
            return;
        };

        let (response, keep_alive) = match request {
            Ok(request) => (answer(&request), request.keep_alive && !*stop.borrow()),
            Err(refusal) => (refusal, false),
        };
        let sent = connection.send(&response, keep_alive).await;
        server.answered();
        if sent.is_err() || !keep_alive {
            return;
        }
    }
}

fn answer(request: &Request) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET" | "HEAD", "/") => {
            Response { status: "200 OK", body: b"hello\n".to_vec(), without_body: request.method == "HEAD" }
        }
        ("POST", "/echo") => Response { status: "200 OK", body: request.body.clone(), without_body: false },
        (_, "/" | "/echo") => Response::of("405 Method Not Allowed"),
        _ => Response::of("404 Not Found"),
    }
}

struct Request {
    method: String,
    path: String,
    keep_alive: bool,
    body: Vec<u8>,
}

struct Response {
    status: &'static str,
    body: Vec<u8>,
    /// Tell the length, keep the body (`HEAD`).
    without_body: bool,
}

impl Response {
    fn of(status: &'static str) -> Response {
        Response { status, body: format!("{status}\n").into_bytes(), without_body: false }
    }
}

struct Connection {
    stream: TcpStream,
    /// What has arrived and is not yet part of a request.
    received: Vec<u8>,
}

impl Connection {
    /// The next request, a refusal for what is none, or `None` at the end of the stream.
    ///
    /// Cancel safe: what has arrived stays in `received`.
    async fn next_request(&mut self) -> io::Result<Option<Result<Request, Response>>> {
        loop {
            match parse(&self.received) {
                Ok(Some((request, length))) => {
                    self.received.drain(..length);
                    return Ok(Some(Ok(request)));
                }
                Ok(None) => {}
                Err(status) => return Ok(Some(Err(Response::of(status)))),
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return match self.received.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    async fn send(&mut self, response: &Response, keep_alive: bool) -> io::Result<()> {
        let mut message = format!(
            "HTTP/1.1 {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n{}\r\n",
            response.status,
            response.body.len(),
            if keep_alive { "" } else { "connection: close\r\n" },
        )
        .into_bytes();
        if !response.without_body {
            message.extend_from_slice(&response.body);
        }
        self.stream.write_all(&message).await?;
        if !keep_alive {
            self.stream.shutdown().await?;
        }
        Ok(())
    }
}

/// The first request in `input` and its length; `None` if it is not complete; the status to
/// refuse it with if it never will be.
fn parse(input: &[u8]) -> Result<Option<(Request, usize)>, &'static str> {
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
        return match input.len() > HEAD_LIMIT {
            true => Err("431 Request Header Fields Too Large"),
            false => Ok(None),
        };
    };
    if end > HEAD_LIMIT {
        return Err("431 Request Header Fields Too Large");
    }
    let head = std::str::from_utf8(&input[..end]).map_err(|_| "400 Bad Request")?;
    let mut lines = head.split("\r\n");

    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("400 Bad Request");
    };
    if method.is_empty() || path.is_empty() {
        return Err("400 Bad Request");
    }
    let mut keep_alive = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err("505 HTTP Version Not Supported"),
    };

    let mut length = None;
    for (count, line) in lines.enumerate() {
        if count == FIELD_LIMIT {
            return Err("431 Request Header Fields Too Large");
        }
        let (name, value) = line.split_once(':').ok_or("400 Bad Request")?;
        let value = value.trim();
        // White space around a name is a known way to smuggle a second meaning.
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err("400 Bad Request");
        }
        if name.eq_ignore_ascii_case("content-length") {
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            if length.is_some() || !digits {
                return Err("400 Bad Request");
            }
            // Too many digits for a number are too much of a body, too.
            length = Some(value.parse().unwrap_or(usize::MAX));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("501 Not Implemented");
        } else if name.eq_ignore_ascii_case("connection") {
            for option in value.split(',').map(str::trim) {
                if option.eq_ignore_ascii_case("close") {
                    keep_alive = false;
                } else if option.eq_ignore_ascii_case("keep-alive") {
                    keep_alive = true;
                }
            }
        }
    }

    let length = length.unwrap_or(0);
    if length > BODY_LIMIT {
        return Err("413 Content Too Large");
    }
    let start = end + 4;
    let Some(body) = input.get(start..start + length) else {
        return Ok(None);
    };
    let request = Request { method: method.into(), path: path.into(), keep_alive, body: body.into() };
    Ok(Some((request, start + length)))
}
