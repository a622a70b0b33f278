//! A server that is killed, ends, or becomes another program: its port is free at once.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use tokio::net::TcpListener;

use super::common::*;

const ROUNDS: usize = 20;

/// What the server of a round does with what it is told.
const SERVER: &str = "LET_GO_SERVER";

/// This very program as a server at `addr`, which says where it listens.
fn server(addr: SocketAddr) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "restart::a_server", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(SERVER, addr.to_string());
    command
}

/// Accepts, on all of its workers, and reads; a line that it reads from its parent tells it how to go on.
#[test]
#[ignore = "the server of a test"]
fn a_server() {
    let addr: SocketAddr = env::var(SERVER).unwrap().parse().unwrap();
    let rt = multi_thread(2);
    // It is the first that tries: whoever was there before is gone.
    let listener = match rt.block_on(TcpListener::bind(addr)) {
        Ok(listener) => listener,
        Err(e) => {
            println!("@ {e}");
            return;
        }
    };
    let addr = listener.local_addr().unwrap();
    rt.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut bytes = [0; 64];
                while stream.readable().await.is_ok() {
                    match stream.try_read(&mut bytes) {
                        Ok(0) => break,
                        Ok(n) => drop(stream.try_write(&bytes[..n])),
                        Err(_) => (),
                    }
                }
            });
        }
    });
    println!("@ {addr}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    match line.trim() {
        "exit" => std::process::exit(0),
        "exec" => panic!("{}", server(addr).exec()),
        _ => (),
    }
}

/// A server that runs, and a connection to it that is watched.
struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    addr: SocketAddr,
}

impl Running {
    fn start(addr: SocketAddr) -> Result<Running, String> {
        let mut child = spawn(server(addr).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut running = Running { child, output, addr };
        match running.says() {
            Ok(addr) => Ok(Running { addr, ..running }),
            Err(why) => {
                running.child.wait().unwrap();
                Err(why)
            }
        }
    }

    /// Where it listens, by what it says.
    fn says(&mut self) -> Result<SocketAddr, String> {
        for line in (&mut self.output).lines() {
            let line = line.unwrap();
            if let Some((_, says)) = line.split_once("@ ") {
                return says.parse().map_err(|_| says.to_string());
            }
        }
        Err("it ended".into())
    }

    /// A connection that works.
    fn connect(&self) -> StdStream {
        let mut stream = StdStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_ref().unwrap(), "{line}").unwrap();
    }
}

/// Each round starts the server anew at the same address, right after `end`.
fn rounds(test: &str, end: fn(Running)) {
    on_each_backend(test, || {
        let mut addr = own_address();
        let mut failed = Vec::new();
        let mut round = 0;
        while round < ROUNDS {
            round += 1;
            match Running::start(addr) {
                Ok(running) => {
                    addr = running.addr;
                    let _streams = [running.connect(), running.connect()];
                    end(running);
                }
                Err(why) => failed.push(format!("round {round}: {why}")),
            }
        }
        assert!(failed.is_empty(), "{} of {ROUNDS}: {failed:#?}", failed.len());
    });
}

#[test]
fn killed() {
    rounds("restart::killed", |mut running| {
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    });
}

#[test]
fn ended() {
    rounds("restart::ended", |mut running| {
        running.tell("exit");
        running.child.wait().unwrap();
    });
}

/// The same process is the next server.
#[test]
fn another_program() {
    on_each_backend("restart::another_program", || {
        let mut failed = Vec::new();
        let mut running = Running::start(own_address()).unwrap();
        for round in 0..ROUNDS {
            let _streams = [running.connect(), running.connect()];
            running.tell("exec");
            if let Err(why) = running.says() {
                failed.push(format!("round {round}: {why}"));
                let addr = running.addr;
                running.child.wait().unwrap();
                eventually("the port is free", || rebind(addr).is_ok());
                running = Running::start(addr).unwrap();
            }
        }
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        assert!(failed.is_empty(), "{} of {ROUNDS}: {failed:#?}", failed.len());
    });
}
