use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::{TcpListener, TcpStream};

use super::BUFFER;

pub fn serve(ready: impl FnOnce(u16)) -> io::Result<()> {
    tokio_uring::start(async {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        ready(listener.local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            tokio_uring::spawn(async move {
                if let Err(error) = echo(stream).await {
                    eprintln!("a connection of the server ended: {error}");
                }
            });
        }
    })
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let (result, read) = stream.read(buffer).await;
        let n = result?;
        if n == 0 {
            return Ok(());
        }
        let (result, written) = stream.write_all(read.slice(..n)).await;
        result?;
        buffer = written.into_inner();
    }
}
