use std::io;

use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

use super::BUFFER;

pub fn serve(ready: impl FnOnce(u16)) -> io::Result<()> {
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        ready(listener.local_addr()?.port());
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(async move {
                if let Err(error) = echo(stream).await {
                    eprintln!("a connection of the server ended: {error}");
                }
            });
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
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
