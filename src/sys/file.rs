//! Files: what can be done with one without waiting, and what one is like.
//!
//! # Safety
//!
//! Paths and structures outlive the calls they are passed to; all zero is a valid value of each structure.
//! Memory that need not be initialised is [`io`](super::io)'s affair. A descriptor that was closed or reused
//! is an error or somebody else's data, never unsound memory.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{PoisonError, RwLock};

/// What is known of an open file. It is found out with the first question, and then taken to stay.
///
/// No question here asks a server or a disk: a file is what the kernel has in memory of it.
#[derive(Debug, Default)]
pub(crate) struct About(AtomicU8);

/// All else is found out.
const KNOWN: u8 = 1;
/// A read ends early at the end of it only: a regular file or a block device.
const HAS_END: u8 = 1 << 1;
/// It has an end, and its reads can be told not to wait (`FMODE_NOWAIT`). So it is the file system of a disk:
/// those of servers (FUSE, NFS, 9p, CIFS) are not, and neither is what lies over others (overlayfs).
const NOWAIT: u8 = 1 << 2;
/// Reads and writes go to the disk (`O_DIRECT`).
const DIRECT: u8 = 1 << 3;
/// Each write is to go in one piece (`O_APPEND`), or to the disk (`O_SYNC`, `O_DSYNC`, `O_DIRECT`).
const WHOLE: u8 = 1 << 4;
/// A pipe.
const PIPE: u8 = 1 << 5;
/// A pipe, a socket or a device of characters: whatever it is, a ring asks first whether it is ready.
const POLLED: u8 = 1 << 6;
/// One of those, whose bytes have places all the same: `pread(2)` works, as with `/dev/zero`.
const PLACES: u8 = 1 << 7;

impl About {
    /// Of a file that [`open_now`] has opened with these flags.
    fn of_disk(flags: i32) -> About {
        About(AtomicU8::new(KNOWN | HAS_END | NOWAIT | of_flags(flags)))
    }

    /// Of any file, found out right now.
    pub(crate) fn of(file: &File) -> About {
        let about = About::default();
        about.get(file.as_raw_fd());
        about
    }

    fn get(&self, fd: RawFd) -> u8 {
        match self.0.load(Relaxed) {
            0 => {
                let bits = find_out(fd);
                self.0.store(bits, Relaxed);
                bits
            }
            bits => bits,
        }
    }

    fn is(&self, fd: RawFd, bits: u8) -> bool {
        self.get(fd) & bits == bits
    }

    /// Is it worth asking for a read that does not wait? Not if that would wait all the same, for the disk,
    /// or if it is known to be refused.
    pub(crate) fn may_read_now(&self, fd: RawFd) -> bool {
        let bits = self.get(fd);
        bits & DIRECT == 0 && (bits & NOWAIT != 0 || bits & HAS_END == 0)
    }

    /// The same for a write, which may also be one that is not to be split.
    pub(crate) fn may_write_now(&self, fd: RawFd) -> bool {
        !self.is(fd, WHOLE)
    }

    pub(crate) fn has_end(&self, fd: RawFd) -> bool {
        self.is(fd, HAS_END)
    }

    /// Can a ring read and write at a place in it without making its thread wait? It waits right there for file
    /// systems that cannot say whether they would; and where bytes have no places (`ESPIPE`) it takes no notice
    /// of that, and moves what comes next.
    #[cfg(feature = "uring-native")]
    pub(crate) fn is_for_rings(&self, fd: RawFd) -> bool {
        self.get(fd) & (NOWAIT | PLACES) != 0
    }

    /// Is a read of it by a ring like one by `read(2)`? A ring waits for a pipe in non-blocking mode, too.
    pub(crate) fn reads_by_ring(&self, fd: RawFd) -> bool {
        match self.get(fd) {
            bits if bits & PIPE != 0 => flags_of(fd) & libc::O_NONBLOCK == 0,
            bits => bits & NOWAIT != 0,
        }
    }

    /// Does the kernel write it on a thread of its own, if a ring is to? So it does what goes to memory.
    #[cfg(feature = "uring-native")]
    pub(crate) fn writes_are_punted(&self, fd: RawFd) -> bool {
        self.get(fd) & (POLLED | DIRECT) == 0
    }

    pub(crate) fn wants_alignment(&self, fd: RawFd) -> bool {
        self.is(fd, DIRECT)
    }
}

fn of_flags(flags: i32) -> u8 {
    let direct = if flags & libc::O_DIRECT != 0 { DIRECT } else { 0 };
    // `O_SYNC` has the bit of `O_DSYNC`.
    let whole = flags & (libc::O_APPEND | libc::O_DSYNC | libc::O_DIRECT) != 0;
    direct | if whole { WHOLE } else { 0 }
}

fn flags_of(fd: RawFd) -> i32 {
    // SAFETY: no memory is passed.
    unsafe { libc::fcntl(fd, libc::F_GETFL) }
}

fn find_out(fd: RawFd) -> u8 {
    let flags = flags_of(fd);
    if flags < 0 {
        return KNOWN;
    }
    let known = KNOWN | of_flags(flags);
    match kind_of(fd) {
        libc::S_IFREG | libc::S_IFBLK if can_say(fd, flags) => known | HAS_END | NOWAIT,
        libc::S_IFREG | libc::S_IFBLK => known | HAS_END,
        libc::S_IFIFO => known | POLLED | PIPE,
        libc::S_IFCHR if has_places(fd) => known | POLLED | PLACES,
        libc::S_IFSOCK | libc::S_IFCHR => known | POLLED,
        _ => known,
    }
}

/// Does `pread(2)` work? Nothing is read, and no device is asked: the kernel looks at how it was opened.
fn has_places(fd: RawFd) -> bool {
    // SAFETY: a list of no buffers.
    let result = unsafe { libc::preadv(fd, std::ptr::null(), 0, 0) };
    result >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESPIPE)
}

/// `S_IF…`, or 0 if that cannot be said.
fn kind_of(fd: RawFd) -> u32 {
    stat(fd, libc::STATX_TYPE).map_or(0, |found| u32::from(found.stx_mode) & libc::S_IFMT)
}

/// Asks about an open file, with no server (`statx`, Linux 4.11).
fn stat(fd: RawFd, mask: u32) -> Option<libc::statx> {
    // SAFETY: see the module docs.
    let mut found: libc::statx = unsafe { mem::zeroed() };
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    // SAFETY: see the module docs.
    let result = unsafe { libc::statx(fd, c"".as_ptr(), flags, mask, &raw mut found) };
    (result == 0).then_some(found)
}

/// Can a file with an end say whether a read would wait (`preadv2` with `RWF_NOWAIT`, Linux 4.14)? Asked at
/// an offset that no file reaches, so there is nothing to read, and nobody is asked for it.
fn can_say(fd: RawFd, flags: i32) -> bool {
    if flags & libc::O_ACCMODE == libc::O_WRONLY {
        return mount_can_say(fd);
    }
    const BEYOND: libc::off_t = 1 << 62;
    let mut byte = 0_u8;
    let part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: the kernel writes at most the one byte.
    let result = unsafe { libc::preadv2(fd, &raw const part, 1, BEYOND, libc::RWF_NOWAIT) };
    // With `O_DIRECT` one byte may be an error of its own (`EINVAL`): then the question was understood. It never
    // got to a file system that has no places in this file (`ESPIPE`: FUSE, tracefs).
    let understood = |e: io::Error| !matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ESPIPE));
    result >= 0 || understood(io::Error::last_os_error())
}

/// One that cannot be read: what is known of its mount.
fn mount_can_say(fd: RawFd) -> bool {
    let mount = stat(fd, MOUNT_ID).and_then(|found| Mount::of(&found));
    mount.and_then(known).unwrap_or(false)
}

/// The mount that a file is on: its number, which may be given again (5.8) unless it is a unique one (6.8),
/// and its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mount {
    id: u64,
    device: (u32, u32),
}

/// `STATX_MNT_ID` and `STATX_MNT_ID_UNIQUE`, which not every `libc` of ours has.
const ANY_ID: u32 = 0x1000 | 0x4000;

const MOUNT_ID: u32 = libc::STATX_TYPE | libc::STATX_SIZE | ANY_ID;

impl Mount {
    fn of(found: &libc::statx) -> Option<Mount> {
        let has_id = found.stx_mask & ANY_ID != 0;
        let device = (found.stx_dev_major, found.stx_dev_minor);
        has_id.then_some(Mount { id: found.stx_mnt_id, device })
    }
}

/// The mounts that files were opened on lately: can regular files there say whether a read would wait?
static MOUNTS: RwLock<Vec<(Mount, bool)>> = RwLock::new(Vec::new());

/// How many are remembered.
const MOST_MOUNTS: usize = 64;

fn known(mount: Mount) -> Option<bool> {
    let mounts = MOUNTS.read().unwrap_or_else(PoisonError::into_inner);
    mounts.iter().find(|(known, _)| *known == mount).map(|&(_, can_say)| can_say)
}

/// Takes note of the mount that `file` is on, if it is a regular file that can be read.
pub(crate) fn learn(file: &File) {
    let fd = file.as_raw_fd();
    let Some(found) = stat(fd, MOUNT_ID) else { return };
    let Some(mount) = Mount::of(&found) else { return };
    let flags = flags_of(fd);
    let is_regular = u32::from(found.stx_mode) & libc::S_IFMT == libc::S_IFREG;
    if !is_regular || flags & libc::O_ACCMODE == libc::O_WRONLY || known(mount).is_some() {
        return;
    }
    let can_say = can_say(fd, flags);
    let mut mounts = MOUNTS.write().unwrap_or_else(PoisonError::into_inner);
    if mounts.len() == MOST_MOUNTS {
        mounts.remove(0);
    }
    mounts.push((mount, can_say));
}

/// What [`open_now`] says.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A regular file, and how long it is.
    Now(File, About, u64),
    /// It is one, but longer than one wants to read at once.
    Long,
    /// There is none.
    Not(io::Error),
    /// Opening it may wait, or whoever opens it has to find out.
    Later,
    /// The same; and the file system is one that nobody knows: see [`learn`].
    Unknown,
}

/// The flags of an opening that only looks.
const LOOKING: i32 = libc::O_CLOEXEC
    | libc::O_NONBLOCK
    | libc::O_NOFOLLOW
    | libc::O_DIRECTORY
    | libc::O_DIRECT
    | libc::O_NOATIME
    | libc::O_NOCTTY
    | libc::O_LARGEFILE;

/// Opens the regular file at `path` for reading, if all that it takes is in memory. Nothing else is opened by
/// this, and so nothing is opened twice: a FIFO, a terminal, a device would notice.
///
/// 1. `openat2` with `O_PATH`, which finds the file and does not open it, and with `RESOLVE_CACHED` (5.12),
///    which finds it in memory or not at all. `NotFound` in memory is an answer, too.
/// 2. `statx`, which asks no server: is it a regular file, and its file system one that is
///    [known](learn) to be a disk's? Others ask their server about each opening.
/// 3. The opening, by way of `/proc`, of the very file that was found; without waiting for somebody
///    who has a lease on it (`O_NONBLOCK`, which is taken back).
pub(crate) fn open_now(path: &CStr, flags: i32, longest: Option<u64>) -> Opened {
    if flags & !LOOKING != 0 {
        return Opened::Later;
    }
    // SAFETY: see the module docs.
    let mut how: libc::open_how = unsafe { mem::zeroed() };
    let path_flags = libc::O_PATH | libc::O_CLOEXEC | flags & (libc::O_NOFOLLOW | libc::O_DIRECTORY);
    how.flags = path_flags as u64;
    how.resolve = libc::RESOLVE_CACHED;
    let size = size_of::<libc::open_how>();
    // SAFETY: see the module docs.
    let fd = unsafe { libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, path.as_ptr(), &raw const how, size) };
    if fd < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => Opened::Not(error),
            _ => Opened::Later,
        };
    }
    // SAFETY: the kernel has just opened it for this call.
    let place = unsafe { OwnedFd::from_raw_fd(fd as RawFd) };
    let Some(found) = stat(place.as_raw_fd(), MOUNT_ID) else { return Opened::Later };
    if u32::from(found.stx_mode) & libc::S_IFMT != libc::S_IFREG {
        return Opened::Later;
    }
    match Mount::of(&found).map(known) {
        Some(Some(true)) => {}
        Some(None) => return Opened::Unknown,
        Some(Some(false)) | None => return Opened::Later,
    }
    if longest.is_some_and(|longest| found.stx_size > longest) {
        return Opened::Long;
    }
    match reopen(&place, flags) {
        Some(file) => Opened::Now(file, About::of_disk(flags), found.stx_size),
        None => Opened::Later,
    }
}

/// Opens what `place` leads to. `None` if that fails, for whatever reason: the path is to say which.
fn reopen(place: &OwnedFd, flags: i32) -> Option<File> {
    let mut path = [0; 48];
    // The descriptors of this thread: those of the process may be others (`CLONE_FILES`).
    write!(&mut path[..], "/proc/thread-self/fd/{}\0", place.as_raw_fd()).ok()?;
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    let own_flags = flags & !libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: see the module docs.
    let fd = unsafe { libc::open(path.as_ptr(), own_flags) };
    if fd < 0 {
        return None;
    }
    // SAFETY: the kernel has just opened it for this call.
    let file = unsafe { File::from_raw_fd(fd) };
    if flags & libc::O_NONBLOCK == 0 {
        // SAFETY: no memory is passed.
        let result = unsafe { libc::fcntl(fd, libc::F_SETFL, flags & (libc::O_DIRECT | libc::O_NOATIME)) };
        if result < 0 {
            return None;
        }
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{OpenOptionsExt, symlink};
    use std::path::Path;

    const READ: i32 = libc::O_RDONLY | libc::O_CLOEXEC;

    fn open(path: &Path, flags: i32, longest: Option<u64>) -> Opened {
        open_now(&CString::new(path.as_os_str().as_bytes()).unwrap(), flags, longest)
    }

    /// A folder on the disk with a file of 8 bytes, whose file system is known; if it is a disk's.
    fn folder() -> (tempfile::TempDir, bool) {
        let folder = tempfile::tempdir_in(Path::new(env!("CARGO_MANIFEST_DIR")).join("target")).unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "contents").unwrap();
        let file = File::open(&path).unwrap();
        learn(&file);
        let is_disk = About::of(&file).is(file.as_raw_fd(), NOWAIT);
        (folder, is_disk)
    }

    #[test]
    fn opens_a_file_in_memory_as_it_was_asked_to() {
        let (folder, is_disk) = folder();
        if !is_disk {
            return;
        }
        let path = folder.path().join("file");
        for flags in [READ, READ | libc::O_NONBLOCK, READ | libc::O_NOFOLLOW, READ | libc::O_NOATIME] {
            let Opened::Now(file, about, 8) = open(&path, flags, None) else { panic!("{flags:#o}") };
            let asked = libc::O_ACCMODE | libc::O_NONBLOCK | libc::O_NOATIME;
            assert_eq!(flags_of(file.as_raw_fd()) & asked, flags & asked);
            assert_eq!(about.get(-1), find_out(file.as_raw_fd()));
            // SAFETY: no memory is passed.
            let own = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) };
            assert_eq!(own, libc::FD_CLOEXEC);
        }
        assert!(matches!(open(&path, READ, Some(7)), Opened::Long));
        assert!(matches!(open(&path, READ, Some(8)), Opened::Now(..)));
    }

    #[test]
    fn opens_nothing_that_could_notice() {
        let (folder, _) = folder();
        let at = |name| folder.path().join(name);
        let fifo = CString::new(at("fifo").as_os_str().as_bytes()).unwrap();
        // SAFETY: the path outlives the call.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        symlink("file", at("link")).unwrap();
        for path in [&at("fifo"), folder.path(), Path::new("/dev/null"), Path::new("/proc/self/status")] {
            let opened = open(path, READ, None);
            assert!(matches!(opened, Opened::Later | Opened::Unknown), "{}: {opened:?}", path.display());
        }
        // Nobody reads the FIFO.
        let writer = fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(at("fifo"));
        assert_eq!(writer.unwrap_err().raw_os_error(), Some(libc::ENXIO));
        // Nothing is written, created or followed.
        for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC, libc::O_PATH] {
            assert!(matches!(open(&at("file"), flags, None), Opened::Later));
        }
        assert!(matches!(open(&at("link"), READ | libc::O_NOFOLLOW, None), Opened::Later));
        assert!(!matches!(open(&at("none"), READ, None), Opened::Now(..)));
    }

    #[test]
    fn knows_what_waits() {
        let (folder, is_disk) = folder();
        let file = File::open(folder.path().join("file")).unwrap();
        let disk = if is_disk { NOWAIT } else { 0 };
        assert_eq!(find_out(file.as_raw_fd()), KNOWN | HAS_END | disk);
        let log = fs::OpenOptions::new().append(true).open(folder.path().join("file")).unwrap();
        assert_eq!(find_out(log.as_raw_fd()), KNOWN | HAS_END | disk | WHOLE);
        assert!(!About::of(&log).may_write_now(log.as_raw_fd()));
        assert!(About::of(&file).may_write_now(file.as_raw_fd()));
        let status = File::open("/proc/self/status").unwrap();
        let about = About::of(&status);
        assert!(about.has_end(status.as_raw_fd()));
        assert!(!about.may_read_now(status.as_raw_fd()) && !about.reads_by_ring(status.as_raw_fd()));
        let zero = File::open("/dev/zero").unwrap();
        let about = About::of(&zero);
        assert!(about.may_read_now(zero.as_raw_fd()) && !about.has_end(zero.as_raw_fd()));
        for flag in [libc::O_DSYNC, libc::O_SYNC] {
            let path = folder.path().join("file");
            let file = fs::OpenOptions::new().write(true).custom_flags(flag).open(path).unwrap();
            assert!(!About::of(&file).may_write_now(file.as_raw_fd()));
        }
        let (reader, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
        let socket = File::from(OwnedFd::from(reader));
        assert!(!About::of(&socket).reads_by_ring(socket.as_raw_fd()));
        let mut fds = [0; 2];
        // SAFETY: the kernel writes both.
        assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
        // SAFETY: just opened, for this test.
        let [reader, _writer] = fds.map(|fd| unsafe { File::from_raw_fd(fd) });
        let about = About::of(&reader);
        assert!(about.reads_by_ring(reader.as_raw_fd()));
        // SAFETY: no memory is passed.
        unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        assert!(!about.reads_by_ring(reader.as_raw_fd()));
    }
}
