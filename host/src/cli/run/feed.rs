//! Event lines from standard input, and the wish to end: from threads of their own, so that timers need not wait for them.

use std::io::{self, BufReader, Stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Instant;

use crate::input::{LineReader, OwnedLine};

/// Lines that are read ahead: at most so many MiB.
const LINES_AHEAD: usize = 64;

/// What comes next.
pub(super) enum Next {
    /// A line.
    Line(OwnedLine),
    /// There are no more lines.
    End,
    /// The lines cannot be read.
    Failed(io::Error),
    /// Nothing until the time that was asked for.
    Nothing,
    /// A signal asks to end.
    Stop,
}

enum Message {
    Line(OwnedLine),
    End(io::Result<()>),
    /// Somebody looked at `stopping`.
    Wake,
}

/// Where lines and signals come from.
pub(super) struct Feed {
    messages: Receiver<Message>,
    stopping: Arc<AtomicBool>,
    /// Keeps the channel open behind the end of the lines.
    _wake: SyncSender<Message>,
}

impl Feed {
    /// Starts to read and to listen.
    pub(super) fn start(source: Stdin) -> io::Result<Self> {
        let (sender, messages) = sync_channel(LINES_AHEAD);
        let stopping = Arc::new(AtomicBool::new(false));
        #[cfg(unix)]
        listen(sender.clone(), Arc::clone(&stopping))?;
        let lines = sender.clone();
        thread::Builder::new().name("events".to_owned()).spawn(move || read_lines(source, &lines))?;
        Ok(Self { messages, stopping, _wake: sender })
    }

    /// What is there already; `None` where that is nothing.
    pub(super) fn ready(&self) -> Option<Next> {
        if self.is_stopping() {
            return Some(Next::Stop);
        }
        match self.messages.try_recv() {
            Ok(message) => Some(self.next_of(message)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }

    /// Waits for what comes next, but not longer than until `until`.
    pub(super) fn wait(&self, until: Option<Instant>) -> Next {
        if self.is_stopping() {
            return Next::Stop;
        }
        let received = match until {
            Some(until) => self.messages.recv_timeout(until.saturating_duration_since(Instant::now())),
            None => self.messages.recv().map_err(RecvTimeoutError::from),
        };
        received.map_or(Next::Nothing, |message| self.next_of(message))
    }

    /// Whether a signal asked to end.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn next_of(&self, message: Message) -> Next {
        match message {
            _ if self.is_stopping() => Next::Stop,
            Message::Line(line) => Next::Line(line),
            Message::End(Ok(())) => Next::End,
            Message::End(Err(error)) => Next::Failed(error),
            Message::Wake => Next::Nothing,
        }
    }
}

fn read_lines(source: Stdin, lines: &SyncSender<Message>) {
    let mut reader = LineReader::new(BufReader::with_capacity(1 << 16, source.lock()));
    let end = loop {
        match reader.next_line() {
            Ok(Some(line)) => {
                if lines.send(Message::Line(line.into())).is_err() {
                    return;
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // Nobody waits for it any more: then it does not matter.
    let _ = lines.send(Message::End(end));
}

/// SIGTERM and SIGINT ask to end; the second one ends at once, should the first be of no avail.
#[cfg(unix)]
fn listen(wake: SyncSender<Message>, stopping: Arc<AtomicBool>) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if stopping.swap(true, Ordering::AcqRel) {
                let _ = emulate_default_handler(signal);
            }
            // Where there is no room, nobody sleeps.
            let _ = wake.try_send(Message::Wake);
        }
    })?;
    Ok(())
}
