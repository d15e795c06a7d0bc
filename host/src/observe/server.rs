//! The metrics page: `GET /metrics` over HTTP/1.1, on a thread of its own.
//!
//! ```no_run
//! use orchestrator_host::observe::{MetricsObserver, serve_metrics};
//!
//! let metrics = MetricsObserver::new();
//! let server = serve_metrics("127.0.0.1:9100".parse().unwrap(), false, metrics.handle()).unwrap();
//! println!("http://{}/metrics", server.address());
//! server.stop();
//! ```
//!
//! The page tells pool and engine names to whoever asks, so it is served on a loopback address unless the caller says
//! that anyone may see it.
//!
//! Invariants: a request never waits for the scheduler, and the scheduler never for a request; no client keeps another
//! from its answer for longer than an exchange lasts, nor takes more than its share of memory, threads and handles; when
//! [`MetricsServer`] is stopped or dropped, its address is free again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::exchange;
use super::metrics::MetricsHandle;

/// Clients that are answered at once; others are turned away.
const CLIENTS_MAX: usize = 16;
/// Where no connection can be taken, such as for want of handles, the next try is so much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A server that stops waits so long for answers on their way.
const STOP_WAIT: Duration = Duration::from_secs(1);

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address can be reached from other machines, and nobody said that this is meant.
    #[error(
        "{address} is no loopback address: whoever reaches it would see the metrics; if that is meant, say --metrics-public"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// No thread can be started.
    #[error("cannot start a thread for the metrics page: {0}")]
    Thread(#[source] io::Error),
}

/// A metrics page that is being served.
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    /// Closed when the last thread has ended.
    ended: Receiver<()>,
}

/// Serves the metrics of `handle` at `address`; port 0 takes any free one. `anyone` allows addresses that other machines
/// can reach.
///
/// # Errors
/// The address is no loopback address and `anyone` is false, cannot be listened on, or no thread can be started.
pub fn serve_metrics(address: SocketAddr, anyone: bool, handle: MetricsHandle) -> Result<MetricsServer, ServeError> {
    if !anyone && !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback { address });
    }
    let listen_error = |error: io::Error| ServeError::Listen { address, reason: error.to_string() };
    let listener = TcpListener::bind(address).map_err(listen_error)?;
    let bound = listener.local_addr().map_err(listen_error)?;
    let stopping = Arc::new(AtomicBool::new(false));
    let (alive, ended) = channel();
    let accepting = Accepting { listener, stopping: Arc::clone(&stopping), handle, clients: Arc::new(()), alive };
    thread::Builder::new().name("metrics".to_owned()).spawn(move || accepting.run()).map_err(ServeError::Thread)?;
    Ok(MetricsServer { address: bound, stopping, ended })
}

impl MetricsServer {
    /// The address that is listened on, with the port that was taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops serving; requests that came already are answered, if their clients take the answer within a second.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        let until = Instant::now() + STOP_WAIT;
        // A connection wakes the thread that waits for one. Where there can be none, it does not sleep for long.
        let _ = TcpStream::connect_timeout(&reachable(self.address), STOP_WAIT);
        // Nothing is ever sent: this returns when all threads have ended, or at the time.
        let _ = self.ended.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

/// The address as this machine reaches it.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// What the accepting thread owns. The socket is closed when it ends.
struct Accepting {
    listener: TcpListener,
    stopping: Arc<AtomicBool>,
    handle: MetricsHandle,
    /// A copy for each client.
    clients: Arc<()>,
    /// A copy for each thread.
    alive: Sender<()>,
}

impl Accepting {
    fn run(self) {
        let mut is_failing = false;
        loop {
            let accepted = self.listener.accept();
            if self.stopping.load(Ordering::Acquire) {
                return;
            }
            match accepted {
                Ok((client, _)) => {
                    is_failing = false;
                    self.answer(client);
                }
                Err(error) => {
                    if !is_failing {
                        tracing::warn!(%error, "the metrics page takes no connections for now");
                    }
                    is_failing = true;
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }

    /// Answers on a thread of its own; a client that is one too many, or for whom there is no thread, finds its connection
    /// closed.
    fn answer(&self, client: TcpStream) {
        if Arc::strong_count(&self.clients) > CLIENTS_MAX {
            return;
        }
        let (handle, counted, alive) = (self.handle.clone(), Arc::clone(&self.clients), self.alive.clone());
        let answering = move || {
            let _held = (counted, alive);
            // A client that went away, or is slow, needs no answer.
            let _ = exchange::answer(&client, &handle);
        };
        if let Err(error) = thread::Builder::new().name("metrics client".to_owned()).spawn(answering) {
            tracing::warn!(%error, "no thread for a client of the metrics page");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use orchestrator_core::scheduler::{Event, JobFacts, Observer, WaitForecast};

    use super::*;
    use crate::observe::MetricsObserver;

    const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    /// Status line and body of one request.
    fn ask(address: SocketAddr, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "{request}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    #[test]
    fn the_page_is_the_exposition() {
        let mut metrics = MetricsObserver::new();
        let server = serve_metrics(LOOPBACK, false, metrics.handle()).unwrap();
        let job = JobFacts { engine: "vllm", ..JobFacts::default() };
        for expected in 1..=2 {
            metrics.observe(0, &Event::JobEnqueued { job, forecast: WaitForecast::default() });
            let (head, body) = ask(server.address(), "GET /metrics HTTP/1.1");
            assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
            assert!(head.contains("text/plain; version=0.0.4; charset=utf-8"), "{head}");
            let line = body.lines().find(|line| line.starts_with("tasks_enqueued_total{")).unwrap();
            assert!(line.ends_with(&format!("}} {expected}")), "{line}");
        }
        server.stop();
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        let server = serve_metrics(LOOPBACK, false, MetricsObserver::new().handle()).unwrap();
        let status = |request: &str| ask(server.address(), request).0.lines().next().unwrap().to_owned();
        assert_eq!(status("GET /metrics?x=1 HTTP/1.1"), "HTTP/1.1 200 OK");
        for path in ["/", "/metrics/", "/metricsx", "/../metrics"] {
            assert_eq!(status(&format!("GET {path} HTTP/1.1")), "HTTP/1.1 404 Not Found", "{path}");
        }
        for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
            let answer = status(&format!("{method} /metrics HTTP/1.1"));
            assert_eq!(answer, "HTTP/1.1 405 Method Not Allowed", "{method}");
        }
        assert!(status("nonsense").contains(" 400 "));
        assert_eq!(status("GET /metrics HTTP/1.1"), "HTTP/1.1 200 OK");
    }

    #[test]
    fn a_stopped_server_frees_its_address() {
        let server = serve_metrics(LOOPBACK, false, MetricsObserver::new().handle()).unwrap();
        let address = server.address();
        let taken = serve_metrics(address, false, MetricsObserver::new().handle()).unwrap_err();
        assert!(taken.to_string().starts_with(&format!("cannot listen on {address}: ")), "{taken}");
        // A client that says nothing does not keep the server from stopping.
        let silent = TcpStream::connect(address).unwrap();
        server.stop();
        drop(silent);
        assert!(TcpListener::bind(address).is_ok(), "{address} is still taken");
    }

    // One client after another sends what never becomes a request, or reads no answer: the next one is answered.
    #[test]
    fn no_client_keeps_others_from_their_answers() {
        let server = serve_metrics(LOOPBACK, false, MetricsObserver::new().handle()).unwrap();
        let mut greedy = TcpStream::connect(server.address()).unwrap();
        greedy.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        // Refused at last: the connection is closed behind the first answer.
        let until = Instant::now() + Duration::from_secs(10);
        while greedy.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").is_ok() {
            assert!(Instant::now() < until, "all of it is taken");
        }
        let silent: Vec<_> = (0..CLIENTS_MAX - 2).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
        assert!(ask(server.address(), "GET /metrics HTTP/1.1").0.starts_with("HTTP/1.1 200 OK"));
        let start = Instant::now();
        server.stop();
        assert!(start.elapsed() < 2 * STOP_WAIT, "{:?}", start.elapsed());
        drop(silent);
    }

    #[test]
    fn clients_beyond_the_limit_are_turned_away() {
        let server = serve_metrics(LOOPBACK, false, MetricsObserver::new().handle()).unwrap();
        let connect = || {
            let client = TcpStream::connect(server.address()).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            client
        };
        let silent: Vec<_> = (0..CLIENTS_MAX).map(|_| connect()).collect();
        assert!(matches!(connect().read(&mut [0]), Ok(0) | Err(_)), "an answer to nothing");
        let start = Instant::now();
        assert_eq!(connect().read(&mut [0]).unwrap_or(0), 0);
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        drop(silent);
        // Their places are free again.
        let answered = (0..100).any(|_| {
            thread::sleep(Duration::from_millis(20));
            let mut client = connect();
            let mut answer = [0; 12];
            write!(client, "GET /metrics HTTP/1.1\r\n\r\n").is_ok()
                && client.read_exact(&mut answer).is_ok()
                && &answer == b"HTTP/1.1 200"
        });
        assert!(answered);
    }

    #[test]
    fn addresses_that_others_reach_must_be_asked_for() {
        let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
        let refused = serve_metrics(everywhere, false, MetricsObserver::new().handle()).unwrap_err();
        assert!(matches!(refused, ServeError::NotLoopback { .. }), "{refused}");
        let server = serve_metrics(everywhere, true, MetricsObserver::new().handle()).unwrap();
        assert!(server.address().port() > 0);
        assert!(serve_metrics("[::]:0".parse().unwrap(), false, MetricsObserver::new().handle()).is_err());
    }
}
