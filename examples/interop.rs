//! Crates that are bound to the published Tokio, as they are on crates.io, inside our runtime.
//!
//! ```text
//! cargo run --release --example interop --features interop
//! SPARGIO_INTEROP=off cargo run --release --example interop --features interop   # and without
//! ```
//!
//! - The server accepts on our sockets, and hyper speaks HTTP over them: it needs no more than the
//!   I/O traits, which are the same in both crates.
//! - The client is hyper-util's: a pool, a resolver, sockets and tasks of the published Tokio. It
//!   knows nothing of us. Its sockets and timers are registered with the host (see the module
//!   `interop`), its requests are made by our tasks.

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const REQUESTS: u32 = 100;
const AT_ONCE: u32 = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if !tokio::interop::is_enabled() {
        println!("interop is off: the client will find no reactor, and panic");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener));

    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut clients = JoinSet::new();
    for n in 0..AT_ONCE {
        let client = client.clone();
        clients.spawn(async move {
            for request in 0..REQUESTS / AT_ONCE {
                let uri = format!("http://{address}/{n}/{request}").parse()?;
                let answer = client.get(uri).await?;
                let body = answer.into_body().collect().await?.to_bytes();
                assert_eq!(body, format!("you asked for /{n}/{request}"));
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
    }
    while let Some(done) = clients.join_next().await {
        done??;
    }
    println!("{REQUESTS} requests of hyper-util's client, answered by hyper over our sockets at {address}");
    Ok(())
}

async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        tokio::spawn(connection(stream, peer));
    }
}

async fn connection(stream: tokio::net::TcpStream, peer: SocketAddr) {
    let service = hyper::service::service_fn(answer);
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        eprintln!("{peer}: {error}");
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = format!("you asked for {}", request.uri().path());
    Ok(Response::new(Full::from(text)))
}
