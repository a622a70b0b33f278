//! Operations with owned buffers, while calls fail.

use std::io;

use tokio::native::fs;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

pub fn native() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        builder.worker_threads(2).enable_all().build()?.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let (a, b) = tokio::try_join!(TcpStream::connect(listener.local_addr()?), listener.accept())?;
            let b = b.0;
            for n in 0..3u8 {
                let (sent, _) = a.native().send(vec![n; 100]).await;
                let sent = sent?;
                let (received, bytes) = b.native().recv(Vec::with_capacity(100)).await;
                assert_eq!(received?, sent, "wrong");
                assert_eq!(bytes, vec![n; sent], "wrong");
            }
            let path = dir.path().join("a");
            std::fs::write(&path, [7; 5_000])?;
            let file = fs::open(&path, Default::default()).await;
            drop(file?);
            // One that is given up.
            let waits = b.native().recv(Vec::with_capacity(10));
            let _ = tokio::time::timeout(std::time::Duration::from_millis(2), waits).await;
            let (sent, _) = a.native().send(b"last".to_vec()).await;
            sent?;
            let (received, bytes) = b.native().recv(Vec::with_capacity(10)).await;
            received?;
            assert_eq!(bytes, b"last", "wrong");
            io::Result::Ok(())
        })?;
    }
    Ok(())
}
