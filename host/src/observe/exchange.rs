//! One HTTP/1.1 exchange of the metrics page: a request's head in, one answer out, and the connection ends.
//!
//! Invariants: an exchange ends at [`EXCHANGE_TIME`], whatever the client does; of a request no more than
//! [`HEAD_BYTES_MAX`] bytes are kept.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::metrics::MetricsHandle;

/// How long an exchange can last.
const EXCHANGE_TIME: Duration = Duration::from_secs(5);
/// How long a client that has its answer can go on sending.
const LINGER_TIME: Duration = Duration::from_millis(500);
/// A longer head is refused.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// A head with more fields is refused.
const FIELDS_MAX: usize = 64;
/// What is written at once: the time is looked at in between.
const WRITE_BYTES: usize = 1 << 16;

/// Reads a request and answers it.
pub(super) fn answer(client: &TcpStream, metrics: &MetricsHandle) -> io::Result<()> {
    let mut client = Timed { stream: client, until: Instant::now() + EXCHANGE_TIME };
    let answer = Answer::to(&read_head(&mut client)?, metrics);
    client.write(&answer.head())?;
    if answer.has_body {
        client.write(answer.body.as_bytes())?;
    }
    client.close()
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Resource { method: String, path: String },
    TooLong,
    Nonsense,
}

fn read_head(client: &mut Timed<'_>) -> io::Result<Asked> {
    let mut head = [0; HEAD_BYTES_MAX];
    let mut length = 0;
    loop {
        match client.read(&mut head[length..])? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            more => length += more,
        }
        if let Some(asked) = parse(&head[..length]) {
            return Ok(asked);
        }
        if length == HEAD_BYTES_MAX {
            return Ok(Asked::TooLong);
        }
    }
}

/// `None` where the head goes on.
fn parse(head: &[u8]) -> Option<Asked> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(status) if status.is_partial() => None,
        Ok(_) => {
            let path = request.path.unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
            Some(Asked::Resource { method: request.method.unwrap_or_default().to_owned(), path })
        }
        Err(httparse::Error::TooManyHeaders) => Some(Asked::TooLong),
        Err(_) => Some(Asked::Nonsense),
    }
}

struct Answer {
    status: &'static str,
    /// Lines of the head beside those that every answer has.
    fields: &'static str,
    content_type: &'static str,
    body: String,
    /// An answer to HEAD has none.
    has_body: bool,
}

impl Answer {
    fn to(asked: &Asked, metrics: &MetricsHandle) -> Self {
        let refusal = |status, fields, body: &str| Self {
            status,
            fields,
            content_type: "text/plain; charset=utf-8",
            body: body.to_owned(),
            has_body: !matches!(asked, Asked::Resource { method, .. } if method == "HEAD"),
        };
        match asked {
            Asked::Resource { method, path } if path == "/metrics" && method == "GET" => {
                Self { content_type: MetricsHandle::CONTENT_TYPE, ..refusal("200 OK", "", &metrics.text()) }
            }
            Asked::Resource { path, .. } if path == "/metrics" => {
                refusal("405 Method Not Allowed", "Allow: GET\r\n", "only GET\n")
            }
            Asked::Resource { .. } => refusal("404 Not Found", "", "metrics are at /metrics\n"),
            Asked::TooLong => refusal("431 Request Header Fields Too Large", "", "the head is too long\n"),
            Asked::Nonsense => refusal("400 Bad Request", "", "no HTTP/1.1 request\n"),
        }
    }

    fn head(&self) -> Vec<u8> {
        let Self { status, fields, content_type, body, .. } = self;
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n{fields}\r\n"
        )
        .into_bytes()
    }
}

/// A connection that is over at a time.
struct Timed<'s> {
    stream: &'s TcpStream,
    until: Instant,
}

impl Timed<'_> {
    /// What is left of the time; never none, which a socket would take for no limit.
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(self.left()?))?;
            match self.stream.write(&bytes[..bytes.len().min(WRITE_BYTES)]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes what the client still sends, for a little while: closed over unread bytes, a connection is reset, and the
    /// answer may be lost on its way.
    fn close(mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        self.until = self.until.min(Instant::now() + LINGER_TIME);
        let mut unread = [0; HEAD_BYTES_MAX];
        while self.read(&mut unread)? > 0 {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(method: &str, path: &str) -> Asked {
        Asked::Resource { method: method.to_owned(), path: path.to_owned() }
    }

    #[test]
    fn heads_are_read_up_to_their_end() {
        let head = b"GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(parse(head), Some(resource("GET", "/metrics")));
        for length in 0..head.len() {
            assert_eq!(parse(&head[..length]), None, "{length}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(FIELDS_MAX + 1));
        assert_eq!(parse(many.as_bytes()), Some(Asked::TooLong));
        assert_eq!(parse(b"nonsense\r\n\r\n"), Some(Asked::Nonsense));
        assert_eq!(parse(b"\x16\x03\x01"), Some(Asked::Nonsense));
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let metrics = crate::observe::MetricsObserver::new().handle();
        assert!(Answer::to(&resource("POST", "/"), &metrics).has_body);
        assert!(!Answer::to(&resource("HEAD", "/"), &metrics).has_body);
    }
}
