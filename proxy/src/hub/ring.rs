//! Many sends in one system call, by io_uring. The rule: a batch is submitted and completed before the call returns, so
//! the kernel only ever borrows the bytes.
//!
//! Every send is nonblocking (`MSG_DONTWAIT`): the kernel tries it while it takes it, and what a socket does not take
//! comes back at once instead of being waited for. Containers and old kernels forbid io_uring or know too little of
//! it; then there is no ring, and each send is a call of its own.
//!
//! Sockets are named by their descriptors. Registered ones gained nothing that could be measured beside that, and a socket
//! that is still registered when it is closed does not end for its peer.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;

use io_uring::{IoUring, opcode, squeue, types};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::output::Taken;

/// Sends of one batch.
pub(super) const BATCH: usize = 256;

/// What a new ring must send before it is trusted.
static PROBE: &[u8] = b"?";

/// The submissions and completions of one hub's thread.
pub(super) struct Ring {
    ring: IoUring,
    taken: Vec<(u32, Taken)>,
}

impl Ring {
    /// A ring if the kernel gives one; the log says why there is none.
    pub(super) fn open_or_tell(hub: usize) -> Option<Ring> {
        match Ring::open() {
            Ok(ring) => {
                tracing::debug!(hub, "sends by io_uring");
                Some(ring)
            }
            Err(error) => {
                tracing::info!(hub, %error, "the kernel gives no io_uring; every send is a call of its own");
                None
            }
        }
    }

    /// A ring that has proved that it sends.
    fn open() -> io::Result<Ring> {
        // Kernels before 6.0 do not know that one thread is all that submits.
        let single = IoUring::builder().setup_single_issuer().build(BATCH as u32);
        let mut ring = Ring { ring: single.or_else(|_| IoUring::new(BATCH as u32))?, taken: Vec::new() };
        // That a ring can be made says little: to submit is forbidden apart from it, and so is each operation. What is lent
        // here lives as long as the process, so that an error under way may be told.
        let (here, _there) = UnixStream::pair()?;
        ring.push(&entry(0, here.as_raw_fd(), PROBE));
        let tried = ring.ring.submit_and_wait(1).map(|_| ring.ring.completion().next().map(|done| done.result()));
        match tried? {
            Some(sent) if sent == PROBE.len() as i32 => Ok(ring),
            _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }

    /// Sends each of at most [`BATCH`] byte strings to its socket, and answers by their keys those that were not taken
    /// whole.
    pub(super) fn send_all<'a>(
        &mut self,
        sends: impl Iterator<Item = (u32, BorrowedFd<'a>, &'a [u8])>,
    ) -> &[(u32, Taken)] {
        self.taken.clear();
        // Unwinding would end what the kernel may still borrow.
        let guard = super::AbortOnPanic;
        let mut under_way = 0;
        for (key, socket, bytes) in sends {
            self.push(&entry(key, socket.as_raw_fd(), bytes));
            under_way += 1;
        }
        while under_way > 0 {
            // An error leaves entries where they are: what was not submitted yet is submitted by the next call. Nothing
            // may be borrowed any more when this ends, so that it goes on until all have completed.
            if let Err(error) = self.ring.submit_and_wait(under_way) {
                assert!(may_pass(&error), "io_uring failed under way: {error}");
            }
            for completion in self.ring.completion() {
                under_way -= 1;
                let (key, length) = (completion.user_data() as u32, (completion.user_data() >> 32) as usize);
                match completion.result() {
                    sent if sent == length as i32 => {}
                    sent if sent >= 0 => self.taken.push((key, Taken::Part(sent as usize))),
                    error => self.taken.push((key, Taken::by(Errno::from_raw_os_error(-error)))),
                }
            }
        }
        std::mem::forget(guard);
        &self.taken
    }

    #[expect(unsafe_code, reason = "the kernel is given addresses")]
    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: the bytes and the socket that the entry names are borrowed by `send_all`, which does not return before the
        // kernel has completed every entry; should it unwind, its guard ends the process. The bytes of `PROBE` are there for
        // ever, and the kernel holds a socket that it was given by itself.
        let pushed = unsafe { self.ring.submission().push(entry) };
        // As many places as a batch may have entries, and all are empty before it.
        assert!(pushed.is_ok(), "a batch larger than the ring");
    }
}

fn entry(key: u32, socket: RawFd, bytes: &[u8]) -> squeue::Entry {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    opcode::Send::new(types::Fd(socket), bytes.as_ptr(), bytes.len() as u32)
        .flags(flags.bits() as i32)
        .build()
        .user_data(u64::from(key) | (bytes.len() as u64) << 32)
}

/// Interrupted, or the kernel is short of memory or of room for completions: the same call may do better now.
fn may_pass(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::INTR | Errno::AGAIN | Errno::BUSY))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let here = TcpStream::connect(listener.local_addr().expect("bound")).expect("a connection");
        let (there, _) = listener.accept().expect("a connection");
        here.set_nonblocking(true).expect("a nonblocking socket");
        (here, there)
    }

    #[test]
    fn a_batch_reaches_its_sockets_and_tells_who_is_full_or_gone() {
        let Ok(mut ring) = Ring::open() else {
            assert!(IoUring::new(1).is_err(), "the kernel gives one");
            return eprintln!("not tried: the kernel gives no io_uring here");
        };
        let (fine, mut reader) = pair();
        let (mut full, _unread) = pair();
        let (gone, end) = pair();
        while full.write(&[0; 65_536]).is_ok() {}
        drop(end);
        // The reset that the peer's end answers with is what makes the next one fail.
        while (&gone).write(b"?").is_ok() {}
        let sends = [(7, fine.as_fd(), &b"frame"[..]), (8, full.as_fd(), b"frame"), (9, gone.as_fd(), b"frame")];
        assert_eq!(ring.send_all(sends.into_iter()), [(8, Taken::Part(0)), (9, Taken::Gone)]);

        let long = vec![1; 16 << 20];
        let taken = ring.send_all([(7, fine.as_fd(), &long[..])].into_iter()).to_vec();
        let [(7, Taken::Part(part))] = taken[..] else { panic!("more than a socket holds was taken: {taken:?}") };
        let mut read = vec![0; 5 + part];
        reader.read_exact(&mut read).expect("what was taken");
        assert_eq!(read[..5], *b"frame");

        let whole: Vec<_> = (0..BATCH as u32).map(|key| (key, fine.as_fd(), &b"."[..])).collect();
        assert_eq!(ring.send_all(whole.into_iter()), []);
    }
}
