use std::io;

use compio::BufResult;
use compio::buf::{IntoInner, IoBuf};
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::Runtime;

use super::BUFFER;

pub fn serve(ready: impl FnOnce(u16)) -> io::Result<()> {
    Runtime::new()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        ready(listener.local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            compio::runtime::spawn(async move {
                if let Err(error) = echo(stream).await {
                    eprintln!("a connection of the server ended: {error}");
                }
            })
            .detach();
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let BufResult(result, read) = stream.read(buffer).await;
        let n = result?;
        if n == 0 {
            return Ok(());
        }
        let BufResult(result, written) = stream.write_all(read.slice(..n)).await;
        result?;
        buffer = written.into_inner();
        buffer.clear();
    }
}
