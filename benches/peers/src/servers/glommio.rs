use std::io;

use futures_util::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

use super::BUFFER;

pub fn serve(ready: impl FnOnce(u16)) -> io::Result<()> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make().map_err(plain)?;
    executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(plain)?;
        ready(listener.local_addr().map_err(plain)?.port());
        loop {
            let stream = listener.accept().await.map_err(plain)?;
            glommio::spawn_local(async move {
                if let Err(error) = echo(stream).await {
                    eprintln!("a connection of the server ended: {error}");
                }
            })
            .detach();
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true).map_err(plain)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}

/// Glommio's error, which cannot be shared between threads.
pub fn plain<T>(error: glommio::GlommioError<T>) -> io::Error {
    io::Error::other(error.to_string())
}
