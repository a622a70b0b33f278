// The server of `server.rs` with its hot path on the native lane: only `echo` differs.

use std::io;

use self::tokio::native::BufPool;
use self::tokio::net::{TcpListener, TcpStream};
use self::tokio::runtime::Builder;

/// Serves on a free port of 127.0.0.1, which `ready` is told, until the process ends.
///
/// With no workers the runtime is a `current_thread` one.
pub fn serve(workers: usize, ready: impl FnOnce(u16)) -> io::Result<()> {
    let mut builder = match workers {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(workers.max(1)).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        ready(listener.local_addr()?.port());
        tokio::spawn(accept(listener)).await?
    })
}

async fn accept(listener: TcpListener) -> io::Result<()> {
    // A buffer belongs to a connection only while something is in it.
    let pool = BufPool::new(128, 16 * 1024);
    loop {
        let (stream, _) = listener.accept().await?;
        let pool = pool.clone();
        tokio::spawn(async move {
            if let Err(error) = echo(stream, &pool).await {
                eprintln!("a connection of the server ended: {error}");
            }
        });
    }
}

async fn echo(stream: TcpStream, pool: &BufPool) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut incoming = stream.native().recv_multi(pool);
    while let Some(bytes) = incoming.next().await {
        stream.native().send_all(bytes?).await.0?;
    }
    Ok(())
}
