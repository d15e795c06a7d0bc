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
//! Invariants: a request never waits for the scheduler, and the scheduler never for a request; when [`MetricsServer`] is
//! stopped or dropped, its address is free again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use tiny_http::{Header, Method, Request, Response, Server};

use super::metrics::MetricsHandle;

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address can be reached from other machines, and nobody said that this is meant.
    #[error("{address} is no loopback address: whoever reaches it would see the metrics; ask for it explicitly")]
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
    server: Option<Arc<ServerThread>>,
    thread: Option<JoinHandle<()>>,
}

/// The listening server; apart, because `tiny_http::Server` has no `Debug`.
struct ServerThread(Server);

impl std::fmt::Debug for ServerThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerThread")
    }
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
    let listen_error = |reason: String| ServeError::Listen { address, reason };
    let server = Server::http(address).map_err(|error| listen_error(error.to_string()))?;
    let bound = server.server_addr().to_ip().ok_or_else(|| listen_error("not an IP address".to_owned()))?;
    let server = Arc::new(ServerThread(server));
    let stopping = Arc::new(AtomicBool::new(false));
    let answering = Answering { server: Arc::clone(&server), stopping: Arc::clone(&stopping), handle };
    let thread = thread::Builder::new().name("metrics".to_owned()).spawn(move || answering.run());
    let thread = Some(thread.map_err(ServeError::Thread)?);
    Ok(MetricsServer { address: bound, stopping, server: Some(server), thread })
}

impl MetricsServer {
    /// The address that is listened on, with the port that was taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops serving; requests that came already are answered.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(server) = self.server.take() {
            server.0.unblock();
        }
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// What the thread owns. The last reference to the server is dropped with it, which closes the socket.
struct Answering {
    server: Arc<ServerThread>,
    stopping: Arc<AtomicBool>,
    handle: MetricsHandle,
}

impl Answering {
    fn run(self) {
        while !self.stopping.load(Ordering::Acquire) {
            // An error is a wake-up, or a socket that broke; both end at the flag or at the next request.
            match self.server.0.recv() {
                Ok(request) => self.answer(request),
                Err(error) if self.stopping.load(Ordering::Acquire) => drop(error),
                Err(error) => {
                    tracing::warn!(%error, "the metrics page is no longer served");
                    return;
                }
            }
        }
    }

    fn answer(&self, request: Request) {
        let path = request.url().split('?').next().unwrap_or_default();
        let response = match (path, request.method()) {
            ("/metrics", Method::Get) => Response::from_string(self.handle.text())
                .with_header(header("Content-Type", MetricsHandle::CONTENT_TYPE)),
            ("/metrics", _) => {
                Response::from_string("only GET\n").with_status_code(405).with_header(header("Allow", "GET"))
            }
            _ => Response::from_string("metrics are at /metrics\n").with_status_code(404),
        };
        // A client that went away needs no answer.
        let _ = request.respond(response);
    }
}

fn header(field: &str, value: &str) -> Header {
    Header::from_bytes(field, value).expect("both are plain ASCII without line breaks")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::time::Duration;

    use orchestrator_core::scheduler::{Event, JobFacts, Observer, WaitForecast};

    use super::*;
    use crate::observe::MetricsObserver;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

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
        // The accepting thread of the library ends a moment after the server.
        let again = (0..500).find_map(|_| {
            thread::sleep(Duration::from_millis(10));
            TcpListener::bind(address).ok()
        });
        assert!(again.is_some(), "{address} is still taken");
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
