// The server. `overload.rs` compiles this file for each side.

use std::time::{Duration, Instant};

use self::tokio::io::{AsyncReadExt, AsyncWriteExt};
use self::tokio::net::TcpListener;
use self::tokio::runtime::Builder;

/// Does `work` for each request of `size` bytes, and sends it back. Prints its address.
pub fn serve(work: Duration, size: usize) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let mut request = vec![0; size];
                while stream.read_exact(&mut request).await.is_ok() {
                    let begin = Instant::now();
                    while begin.elapsed() < work {}
                    if stream.write_all(&request).await.is_err() {
                        return;
                    }
                }
            });
        }
    })
}
