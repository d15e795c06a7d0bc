//! Log lines on their way out: whoever logs never waits for whoever reads.
//!
//! ```text
//! logger ── try_send ──▶ a bounded channel ──▶ a thread ──▶ standard error
//!               └─ full: the line is dropped and counted
//! ```
//!
//! Invariants: lines are whole and in order; a reader that is slow, stuck or gone takes no more than [`PATIENCE`] at a
//! time, and fails nobody.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that wait to be written: some MiB.
const LINES_AHEAD: usize = 8192;

/// How long a line that matters, and the end, wait for the thread.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks whether there is room.
const PAUSE: Duration = Duration::from_millis(2);

enum Message {
    Line(Vec<u8>),
    /// All before it is written: say so.
    Finish(SyncSender<()>),
}

/// What loggers and the thread both see.
#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    /// Somebody waited in vain: until there is room again, nobody else does.
    stuck: AtomicBool,
}

/// Takes log lines, each in one `write`, and never fails; a clone goes to the same place.
#[derive(Debug, Clone)]
pub struct LogWriter {
    messages: SyncSender<Message>,
    shared: Arc<Shared>,
}

impl LogWriter {
    /// Starts the thread that writes to `target`.
    pub(super) fn start(target: impl Write + Send + 'static) -> io::Result<Self> {
        let (messages, received) = sync_channel(LINES_AHEAD);
        let shared = Arc::<Shared>::default();
        let seen = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(target, &received, &seen))?;
        Ok(Self { messages, shared })
    }

    /// Says a line that matters more than log lines: for a while it waits for room.
    pub fn say(&self, line: &str) {
        self.send_in_time(Message::Line(format!("{line}\n").into_bytes()), Instant::now() + PATIENCE);
    }

    /// Waits until all lines are written, and says how many were dropped; not for long.
    pub fn finish(&self) {
        let until = Instant::now() + PATIENCE;
        let (done, is_done) = sync_channel(1);
        if self.send_in_time(Message::Finish(done), until) {
            // In time or not: it is the end.
            let _ = is_done.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Whether there was room in time.
    fn send_in_time(&self, mut message: Message, until: Instant) -> bool {
        loop {
            match self.messages.try_send(message) {
                Ok(()) => {
                    self.shared.stuck.store(false, Ordering::Relaxed);
                    return true;
                }
                Err(TrySendError::Full(back)) if !self.is_stuck() && Instant::now() < until => message = back,
                Err(_) => {
                    self.shared.stuck.store(true, Ordering::Relaxed);
                    self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                    return false;
                }
            }
            thread::sleep(PAUSE);
        }
    }

    fn is_stuck(&self) -> bool {
        self.shared.stuck.load(Ordering::Relaxed)
    }
}

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.messages.try_send(Message::Line(line.to_vec())).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What no one listens to is no failure.
fn write_lines(mut target: impl Write, messages: &Receiver<Message>, shared: &Shared) {
    for message in messages {
        match message {
            Message::Line(line) => {
                let _ = target.write_all(&line);
            }
            Message::Finish(done) => {
                let dropped = shared.dropped.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    let line = format!("log: {dropped} lines were dropped: nobody read them in time\n");
                    let _ = target.write_all(line.as_bytes());
                }
                let _ = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Sends on what it is given, once it may.
    struct Gated {
        gate: Receiver<()>,
        lines: Sender<String>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // An open gate has no other end.
            let _ = self.gate.recv();
            let _ = self.lines.send(String::from_utf8_lossy(bytes).into_owned());
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    // LOG-1: nobody reads: lines are dropped and nobody waits; then somebody does, and is told how many are missing.
    #[test]
    fn what_is_too_much_is_dropped_and_counted() {
        let ((open, gate), (lines, written)) = (channel(), channel());
        let mut log = LogWriter::start(Gated { gate, lines }).unwrap();
        for line in 0..2 * LINES_AHEAD {
            log.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        let start = Instant::now();
        (0..100).for_each(|_| log.say("in vain"));
        log.finish();
        assert!(start.elapsed() < PATIENCE * 5, "{:?}", start.elapsed());
        drop(open);
        // Waits for the thread, however slow the machine is.
        let kept: Vec<_> = (0..LINES_AHEAD).map(|_| written.recv().unwrap()).collect();
        assert!(kept.iter().enumerate().all(|(at, line)| *line == format!("{at}\n")));
        log.say("last");
        log.finish();
        let rest: Vec<_> = written.try_iter().collect();
        assert!(rest.iter().any(|line| line == "last\n"), "{rest:?}");
        assert!(rest.concat().contains("lines were dropped"), "{rest:?}");
    }
}
