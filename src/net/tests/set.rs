//! Errors of the watch set.

use std::io::ErrorKind;
use std::time::Duration;

use super::{current_thread, echo, multi_thread, under};
use crate::net::UdpSocket;
use crate::sys::fault::{Call, Script};
use crate::time::timeout;

#[test]
fn h62_every_error_at_every_wait() {
    let mut failed = 0;
    for errno in [libc::EINTR, libc::EAGAIN, libc::ENOMEM] {
        for n in 0..12 {
            let script = Script::default().fail(Call::EpollWait, errno, n..n + 3);
            under(&script, &format!("errno {errno} from wait {n} on"), || {
                assert_eq!(current_thread().unwrap().block_on(echo(2, 2)), 8);
                let rt = multi_thread(2).unwrap();
                assert_eq!(rt.block_on(async { crate::task::spawn(echo(2, 2)).await.unwrap() }), 8);
            });
            failed += script.failed();
        }
    }
    assert!(failed > 60, "only {failed} failures");
}

/// What has to be watched and cannot be is an error of the call that needs it.
#[test]
fn h62_a_resource_that_cannot_be_watched_is_an_error() {
    for errno in [libc::ENOMEM, libc::ENOSPC] {
        let script = Script::default().fail(Call::EpollAdd, errno, 1..usize::MAX);
        under(&script, &format!("errno {errno}"), move || {
            // The set's bell is the first.
            current_thread().unwrap().block_on(async {
                let error = UdpSocket::bind("127.0.0.1:0").await.unwrap_err();
                assert_eq!(error.raw_os_error(), Some(errno));
                let listener = crate::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let accepted = timeout(Duration::from_secs(10), listener.accept()).await;
                assert_eq!(accepted.expect("it hangs").unwrap_err().raw_os_error(), Some(errno));
            });
        });
        assert_eq!(script.failed(), 2);
    }
}

#[test]
fn h31_without_a_watch_set_there_is_no_runtime() {
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
        let script = Script::default().fail(Call::Epoll, errno, 0..1);
        under(&script, &format!("errno {errno}"), move || {
            let error = multi_thread(2).unwrap_err();
            assert_eq!(error.kind(), std::io::Error::from_raw_os_error(errno).kind());
            assert!(error.to_string().contains("epoll"), "{error}");
            assert_ne!(error.kind(), ErrorKind::Other);
            assert_eq!(multi_thread(2).unwrap().block_on(echo(2, 2)), 8);
        });
        assert_eq!(script.failed(), 1);
    }
}
