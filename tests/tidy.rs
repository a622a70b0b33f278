//! Rules about the sources that no compiler checks: the layers, where unsafe code may be, what
//! comes from upstream, and that every hazard has a test.

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/scan.rs"]
mod scan;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use rules::Exceptions;
use scan::Source;

/// What may use a layer above its own: file, layer, reason.
const LAYERING: Exceptions<'_> = &[
    (
        "src/util/trace.rs",
        "runtime",
        "what is told of a spawn holds the place of the call, a type of the task core",
    ),
    ("src/util/trace/on.rs", "runtime", "likewise, and the task's id"),
    ("src/util/trace/off.rs", "runtime", "as its other half"),
];

/// What may name a part of upstream that is bound to its runtime: file, path, reason.
const HOSTING: Exceptions<'_> = &[
    ("src/runtime/context/host.rs", "runtime", "the host itself"),
    ("src/runtime/context/host/thread.rs", "runtime", "the host itself"),
    ("src/runtime/context/host/epoll.rs", "runtime", "the host itself"),
    ("src/runtime/context/host/epoll.rs", "net::UnixDatagram", "is registered with the host, and found"),
    ("src/runtime/context/host.rs", "task::block_in_place", "lifts the host's ban on blocking"),
    ("src/interop/mod.rs", "runtime", "the handle of the host, for crates bound to it"),
    ("src/interop/net.rs", "net", "its sockets, to convert from and to"),
    ("src/runtime/context/traced.rs", "runtime", "a scheduler that wakes what it traced"),
    ("src/runtime/context/traced.rs", "task::block_in_place", "lets that scheduler run inside of the host"),
    ("src/runtime/task/tests/life.rs", "runtime", "a budget to test with"),
];

/// The files that may have unsafe code.
const UNSAFE: &[&str] = &[
    "src/driver/op/mod.rs",
    "src/driver/op/single.rs",
    "src/driver/op/stream.rs",
    "src/driver/op/tests/rig.rs",
    "src/fs/contents/owned.rs",
    "src/driver/outbox.rs",
    "src/driver/uring/engine/set_wait.rs",
    "src/fs/file/fd.rs",
    "src/fs/op/ring.rs",
    "src/io/async_fd.rs",
    "src/native/action/accept.rs",
    "src/native/action/connect.rs",
    "src/native/action/file.rs",
    "src/native/action/message.rs",
    "src/native/action/mod.rs",
    "src/native/action/path.rs",
    "src/native/action/raw.rs",
    "src/native/action/recv.rs",
    "src/native/action/rw.rs",
    "src/native/action/send.rs",
    "src/native/action/splice.rs",
    "src/native/action/vectored.rs",
    "src/native/action/wait.rs",
    "src/native/action/xattr.rs",
    "src/native/action/zero_copy.rs",
    "src/native/address.rs",
    "src/native/buf/aligned.rs",
    "src/native/buf/impls.rs",
    "src/native/buf/mod.rs",
    "src/native/buf/room.rs",
    "src/native/buf/slice.rs",
    "src/native/buf/tests.rs",
    "src/native/fixed.rs",
    "src/native/fs.rs",
    "src/native/incoming.rs",
    "src/native/multi.rs",
    "src/native/other.rs",
    "src/native/pool.rs",
    "src/native/request.rs",
    "src/native/ring.rs",
    "src/net/tcp/socket.rs",
    "src/net/unix/socket.rs",
    "src/process/command.rs",
    "src/runtime/context.rs",
    "src/runtime/context/host.rs",
    "src/runtime/handle.rs",
    "src/runtime/home.rs",
    "src/runtime/local_runtime/runtime.rs",
    "src/runtime/scheduler/current_thread/handle.rs",
    "src/runtime/scheduler/sharded/queue.rs",
    "src/runtime/task/abort.rs",
    "src/runtime/task/core.rs",
    "src/runtime/task/error.rs",
    "src/runtime/task/harness.rs",
    "src/runtime/task/join.rs",
    "src/runtime/task/list.rs",
    "src/runtime/task/mod.rs",
    "src/runtime/task/raw.rs",
    "src/runtime/task/tests/life.rs",
    "src/runtime/task/tests/panics.rs",
    "src/runtime/task/waker.rs",
    "src/sys/affinity.rs",
    "src/sys/call/mod.rs",
    "src/sys/call/perform.rs",
    "src/sys/call/tests.rs",
    "src/sys/control.rs",
    "src/sys/wait.rs",
    "src/sys/file.rs",
    "src/sys/epoll.rs",
    "src/sys/event_fd.rs",
    "src/sys/exit.rs",
    "src/sys/fault.rs",
    "src/sys/futex.rs",
    "src/sys/fork.rs",
    "src/sys/io.rs",
    "src/sys/mask.rs",
    "src/sys/peer_cred.rs",
    "src/sys/pidfd.rs",
    "src/sys/pipe.rs",
    "src/sys/pidfd.rs",
    "src/sys/poll.rs",
    "src/sys/signal.rs",
    "src/sys/socket.rs",
    "src/sys/uring/buf_ring.rs",
    "src/sys/uring/doorbell.rs",
    "src/sys/uring/entry.rs",
    "src/sys/uring/fixed.rs",
    "src/sys/uring/release.rs",
    "src/sys/uring/ring.rs",
    "src/task/local/mod.rs",
    "src/task/local/shared.rs",
];

/// The hazards that must have a test by now.
const HAZARDS: [std::ops::RangeInclusive<u32>; 1] = [1..=60];

/// What the library may depend on. Each is one more to trust: who adds one says why.
const DEPENDENCIES: &[&str] = &[
    "bytes",
    "futures-core",
    "io-uring",
    "libc",
    "mio",
    "pin-project-lite",
    "serde",
    "signal-hook-registry",
    "slab",
    "socket2",
    "spargio-entry-macros",
    "tokio-macros",
    "tracing",
    "upstream",
];

const LONG: usize = 600;
const TOO_LONG: usize = 900;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files under `dir` whose name ends in `extension`, in order.
fn files(dir: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources(dir: &str) -> Vec<Source> {
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        Source::new(&name, &fs::read_to_string(&path).unwrap())
    };
    files(dir, "rs").into_iter().map(read).collect()
}

#[track_caller]
fn assert_none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn a_layer_uses_only_those_below() {
    assert_none(sources("src").iter().flat_map(|s| rules::layers(s, LAYERING)).collect());
}

#[test]
fn unsafe_code_stays_where_it_is_allowed_and_explains_itself() {
    let sources = sources("src");
    let gone = UNSAFE.iter().filter(|&&path| !sources.iter().any(|s| s.path == path));
    let mut found: Vec<_> = gone.map(|path| format!("{path} is on the list, but does not exist")).collect();
    found.extend(sources.iter().flat_map(|s| rules::unsafe_code(s, UNSAFE.contains(&s.path.as_str()))));
    assert_none(found);
}

#[test]
fn upstream_comes_in_through_one_door() {
    assert_none(sources("src").iter().flat_map(|s| rules::upstream(s, HOSTING)).collect());
}

#[test]
fn no_leftovers_and_no_tokio_paths() {
    assert_none(sources("src").iter().flat_map(rules::words).collect());
}

#[test]
fn h51_rings_are_plain_ones() {
    assert_none(sources("src").iter().flat_map(rules::rings).collect());
    for path in files("src", "rs") {
        let text = fs::read_to_string(&path).unwrap();
        for call in text.split("register_buf_ring_with_flags(").skip(1) {
            let arguments = call.split(')').next().unwrap();
            assert!(arguments.ends_with(", 0"), "{}: buffers in the kernel's memory?", path.display());
        }
    }
}

#[test]
fn h53_the_runtime_hands_out_no_descriptor() {
    assert_none(sources("src").iter().flat_map(rules::descriptors).collect());
}

#[test]
fn h54_the_dependencies_are_known() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let is_dependencies = |line: &str| line.starts_with("[target.") && line.ends_with(".dependencies]");
    let is_other = |line: &str| line.starts_with("[dependencies") || line.starts_with("[build-dependencies");
    assert!(!manifest.lines().any(is_other), "here and elsewhere are apart");
    let mut tables = manifest.split("\n[").map(|table| format!("[{table}"));
    let names = |table: String| {
        let entries = table
            .lines()
            .skip(1)
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(" = "));
        let mut names: Vec<_> = entries.map(|(name, _)| name.to_owned()).collect();
        names.sort_unstable();
        names
    };
    let mut next = || tables.find(|table| is_dependencies(table.lines().next().unwrap())).map(names);
    // Where there are rings, and elsewhere. No other condition, behind which this would not see one.
    assert_eq!(next().unwrap(), DEPENDENCIES);
    assert_eq!(next().unwrap(), ["upstream"]);
    assert_eq!(next(), None);
}

#[test]
fn every_exception_is_needed() {
    let sources = sources("src");
    for &(file, what, reason) in LAYERING.iter().chain(HOSTING) {
        assert!(!reason.is_empty());
        let source = sources.iter().find(|s| s.path == file);
        let source = source.unwrap_or_else(|| panic!("{file} has an exception, but does not exist"));
        let found = rules::layers(source, &[]).into_iter().chain(rules::upstream(source, &[]));
        assert!(found.into_iter().any(|f| f.contains(what)), "{file} does not use `{what}` any more");
    }
}

#[test]
fn every_hazard_has_a_living_test() {
    let tests: HashSet<String> = ["src", "tests", "compat-tests", "loom-models"]
        .iter()
        .flat_map(|dir| sources(dir))
        .flat_map(|s| s.functions())
        .filter_map(|(name, is_test)| is_test.then_some(name))
        .collect();
    let mut rows = Vec::new();
    for path in files("docs", "md") {
        if path.file_name().unwrap().to_str().unwrap().starts_with("HAZARDS") {
            rows.extend(rules::rows(&fs::read_to_string(path).unwrap()));
        }
    }
    let required: Vec<_> = HAZARDS.into_iter().flatten().map(|n| format!("H{n:02}")).collect();
    assert_none(rules::hazards("docs/HAZARDS.md", &rows, &required, |name| tests.contains(name)));
}

#[test]
fn the_documents_name_files_that_exist() {
    let mut found = Vec::new();
    for path in files("docs", "md") {
        let text = fs::read_to_string(&path).unwrap();
        let missing = rules::paths_named(&text).into_iter().filter(|named| !root().join(named).exists());
        found.extend(missing.map(|named| format!("{}: there is no {named}", path.display())));
    }
    assert_none(found);
}

/// How a program is moved is the same everywhere.
#[test]
fn the_documents_say_the_same_lines() {
    const PATCH: &str = "tokio = { git = \"https://github.com/spargio/spargio\" }";
    const RENAMED: &str =
        "tokio = { package = \"spargio\", git = \"https://github.com/spargio/spargio\", features = [";
    for (path, lines) in [
        ("README.md", &[PATCH, RENAMED][..]),
        ("MIGRATION.md", &[PATCH, RENAMED]),
        ("src/lib.rs", &[PATCH, RENAMED]),
        ("patch/README.md", &[PATCH]),
    ] {
        let text = fs::read_to_string(root().join(path)).unwrap();
        for line in lines {
            assert!(text.contains(line), "{path} does not say `{line}`");
        }
        assert!(
            !text.contains("spargio\", version ="),
            "{path}: what is on crates.io under that name is not this"
        );
    }
}

#[test]
fn files_stay_readable() {
    let mut found = Vec::new();
    for source in
        ["src", "tests", "examples", "benches", "compat-tests/src"].iter().flat_map(|dir| sources(dir))
    {
        if source.lines > TOO_LONG {
            found.push(format!("{} has {} lines, more than {TOO_LONG}", source.path, source.lines));
        } else if source.lines > LONG {
            println!("long: {} ({} lines)", source.path, source.lines);
        }
    }
    assert_none(found);
}

// ===== the rules themselves, on samples =====

mod samples {
    use super::*;

    fn number<F: IntoIterator>(findings: F) -> usize {
        findings.into_iter().count()
    }

    #[test]
    fn layers() {
        let check = |path: &str, text: &str| number(rules::layers(&Source::new(path, text), &[]));
        assert_eq!(check("src/sys/io.rs", "use crate::{loom::sync, driver::{Ready, Interest}};"), 2);
        assert_eq!(check("src/driver/mod.rs", "fn f() { crate::runtime::context::defer() }"), 1);
        assert_eq!(check("src/driver/uring/lane.rs", "use super::super::super::task::spawn;"), 1);
        assert_eq!(check("src/runtime/mod.rs", "mod tests { use super::super::net; }"), 1);
        assert_eq!(check("src/upstream.rs", "use crate::sys::io;"), 1);
        assert_eq!(check("src/net/udp.rs", "use crate::{gadgets::x, nobody_knows};"), 2);
        assert_eq!(check("src/gadgets/mod.rs", ""), 1);

        assert_eq!(
            check("src/runtime/task/mod.rs", "use crate::{driver, sys::io, loom, upstream::sync};"),
            0
        );
        assert_eq!(check("src/net/udp.rs", "use crate::{io::Ready, runtime::Handle}; crate::select! {}"), 0);
        assert_eq!(
            check("src/driver/ready.rs", "/// [`x`](crate::io::x)\nfn f() { g(\"crate::io\") } // crate::io"),
            0
        );
        assert_eq!(
            check(
                "src/driver/mod.rs",
                "pub(crate) mod x { pub(in crate::driver) fn f() {} use super::Ready; }"
            ),
            0
        );

        let source = Source::new("src/util/trace.rs", "use crate::runtime::task::X;");
        assert_eq!(number(rules::layers(&source, LAYERING)), 0);
    }

    #[test]
    fn rings_and_descriptors() {
        let rings = |text: &str| number(rules::rings(&Source::new("src/sys/x.rs", text)));
        assert_eq!(rings("b.setup_sqpoll(1)"), 2);
        assert_eq!(rings("f(IOU_PBUF_RING_MMAP)"), 1);
        assert_eq!(rings("b.setup_cqsize(1).setup_iopoll(); fn setup_x() {} // sqpoll"), 1);

        let descriptors = |path: &str, text: &str| number(rules::descriptors(&Source::new(path, text)));
        assert_eq!(descriptors("src/runtime/handle.rs", "impl AsRawFd for Handle {}"), 1);
        assert_eq!(descriptors("src/shard/mod.rs", "pub fn ring(&self) -> io::Result<OwnedFd> {}"), 1);
        assert_eq!(
            descriptors("src/driver/x.rs", "pub(crate) fn fd(&self) -> RawFd {} pub fn f(x: RawFd);"),
            0
        );
        assert_eq!(descriptors("src/net/udp.rs", "impl AsFd for UdpSocket {}"), 0);
    }

    const HEAD: &str = "//! # Safety\n#![allow(unsafe_code)]\n";

    #[test]
    fn unsafe_code() {
        let check =
            |listed, text: &str| number(rules::unsafe_code(&Source::new("src/sys/x.rs", text), listed));
        let listed = |text: &str| check(true, &format!("{HEAD}{text}"));
        assert_eq!(check(false, "unsafe { f() }"), 1);
        assert_eq!(check(false, "#[allow(unsafe_code)] mod x;"), 1);
        assert_eq!(check(false, "\"unsafe\"; // unsafe"), 0);
        assert_eq!(check(false, "#![deny(unsafe_code)] fn f() {}"), 0);

        // Nothing unsafe; no lint attribute of its own; no paragraph.
        assert_eq!(listed("fn f() {}"), 1);
        assert_eq!(check(true, "//! # Safety\n// SAFETY: x\nunsafe { f() }"), 1);
        assert_eq!(
            check(true, "//! # Safety\n#[allow(unsafe_code)]\nmod m;\n// SAFETY: x\nunsafe { f() }"),
            1
        );
        assert_eq!(check(true, "#![allow(unsafe_code)]\n// SAFETY: x\nunsafe { f() }"), 1);

        assert_eq!(listed("// SAFETY: x\nunsafe { f() }\nlet y = unsafe { g() };"), 1);
        assert_eq!(listed("// SAFETY: x\n\nunsafe impl Send for X {}"), 1);
        assert_eq!(listed("// it is fine\nunsafe impl Send for X {}"), 1);
        assert_eq!(listed("// SAFETY: x\n// and y\nlet z =\n    unsafe { f() };"), 0);
        assert_eq!(listed("// SAFETY: x\n#[allow(y)]\nunsafe impl Send for X {}"), 0);

        assert_eq!(listed("/// Docs\npub(crate) unsafe fn f() {}"), 1);
        assert_eq!(
            listed("/// Docs\n///\n/// # Safety\n///\n/// None.\n#[inline]\npub(crate) unsafe fn f() {}"),
            0
        );
        assert_eq!(listed("struct V { pub f: unsafe fn(*const ()) } unsafe fn g() {}"), 0);
    }

    #[test]
    fn upstream() {
        let check = |path: &str, text: &str| number(rules::upstream(&Source::new(path, text), HOSTING));
        assert_eq!(check("src/lib.rs", "pub use ::upstream::*;"), 1);
        assert_eq!(check("src/upstream.rs", "pub mod io { pub use ::upstream::io::*; }"), 1);
        assert_eq!(check("src/io/mod.rs", "pub use upstream::io::AsyncRead;"), 1);
        assert_eq!(check("src/io/mod.rs", "pub(crate) use upstream::io::{AsyncRead, AsyncWrite};"), 2);
        assert_eq!(check("src/task/mod.rs", "pub use crate::upstream::task::*;"), 1);
        assert_eq!(check("src/io/stdin.rs", "pub use crate::upstream::io::AsyncRead;"), 1);
        assert_eq!(
            check(
                "src/net/udp.rs",
                "use upstream::net::UdpSocket; upstream::spawn(x); upstream::task::spawn(y);"
            ),
            3
        );
        assert_eq!(check("src/runtime/mod.rs", "use upstream::runtime::Runtime;"), 1);

        assert_eq!(check("src/upstream.rs", "pub use ::upstream::sync;"), 0);
        assert_eq!(check("src/io/mod.rs", "pub use crate::upstream::io::{AsyncRead, AsyncWrite};"), 0);
        assert_eq!(check("src/time/sleep.rs", "use upstream::task::coop; use upstream::io::ReadBuf;"), 0);
        assert_eq!(check("src/runtime/context/host.rs", "use upstream::runtime::{Builder, Runtime};"), 0);
    }

    #[test]
    fn words() {
        let check = |text: &str| number(rules::words(&Source::new("src/net/udp.rs", text)));
        assert_eq!(check("todo!(); unimplemented!(\"x\"); dbg!(x)"), 3);
        assert_eq!(check("tokio::spawn(x); use ::tokio::net;"), 2);
        assert_eq!(check("use crate::*; use super::super::*;"), 2);
        assert_eq!(
            check("/// tokio::spawn(todo!())\nfn f() { tokio_macros::x!(); g(\"tokio::spawn\") } // dbg!(x)"),
            0
        );
        assert_eq!(check("use crate::net::*; use super::*; let todo = a != b;"), 0);
    }

    #[test]
    fn hazards() {
        let table = "| hazard | guard | test | seen red |\n|---|---|---|---|\n\
            | **H01** | x | `tests/net_close.rs::a`, `b` (with tokio) | yes: hung |\n\
            | H02 | x | `gone` | yes |\n| H03 | x | `a` |  |\n| H04 | x | later |  |\nH05 | `a` |\n";
        let rows = rules::rows(table);
        assert_eq!(rows.iter().map(|r| r.hazard.as_str()).collect::<Vec<_>>(), ["H01", "H02", "H03", "H04"]);
        assert_eq!(rows[0].tests, ["a", "b"]);
        assert_eq!(rows[0].line, 3);
        assert!(rows[0].seen_red && !rows[2].seen_red);

        let check = |required: &[&str]| {
            let required: Vec<_> = required.iter().map(|h| (*h).to_owned()).collect();
            number(rules::hazards("x", &rows, &required, |name| name == "a" || name == "b"))
        };
        // `gone` does not exist, H03 was not seen red.
        assert_eq!(check(&["H01"]), 2);
        // H04 has a row but no test, H05 not even that.
        assert_eq!(check(&["H01", "H04", "H05"]), 4);
    }

    #[test]
    fn paths() {
        let named =
            rules::paths_named("`src/net/tcp.rs`, `cargo test`, `src/x/{a,b}.rs`, src/y.rs, `tests/tidy.rs`");
        assert_eq!(named, ["src/net/tcp.rs", "tests/tidy.rs"]);
    }
}
