//! Where log lines go: standard error, as JSON lines or as text.
//!
//! What is logged is said by `--log-level`, else by `RUST_LOG`, else it is [`DEFAULT_LEVEL`]: a level, or directives such as
//! `warn,orchestrator::scheduler=debug`.

use std::io;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::log_writer::LogWriter;

/// The level without `--log-level` and `RUST_LOG`.
const DEFAULT_LEVEL: &str = "warn";

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object.
    #[default]
    Json,
    /// Words for people.
    Text,
}

/// Why no log lines can be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogSetupError {
    /// A level or directive that is none.
    #[error("{origin}: `{directives}` is no log level: {source}; write error, warn, info, debug, trace or off")]
    Level {
        /// Where it stood: `--log-level` or `RUST_LOG`.
        origin: &'static str,
        /// What stood there.
        directives: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Log lines go somewhere already.
    #[error("log lines go somewhere already: {0}")]
    Again(#[from] TryInitError),
    /// There is no thread to write them.
    #[error("no thread for log lines: {0}")]
    Thread(#[from] io::Error),
}

/// Sends log lines to standard error from now on, once per process. `level` is the value of `--log-level`.
///
/// A thread writes them: before the process ends, [`LogWriter::finish`] waits for it.
///
/// # Errors
/// The level is none, there is no thread, or log lines go somewhere already.
pub fn init_logs(format: LogFormat, level: Option<&str>) -> Result<LogWriter, LogSetupError> {
    let from_environment = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = filter(level, from_environment.as_deref())?;
    let writer = LogWriter::start(io::stderr())?;
    let log = writer.clone();
    match format {
        LogFormat::Json => json_lines(filter, move || writer.clone()).try_init(),
        LogFormat::Text => text_lines(filter, move || writer.clone()).try_init(),
    }?;
    Ok(log)
}

/// Fields at the top, beside `timestamp` and `level`: that is where collectors look for them.
fn json_lines(filter: EnvFilter, writer: impl Writer) -> impl Subscriber + Send + Sync {
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish()
}

fn text_lines(filter: EnvFilter, writer: impl Writer) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false).finish()
}

/// Where lines go: standard error, or what a test keeps.
trait Writer: for<'w> MakeWriter<'w> + Send + Sync + 'static {}
impl<W: for<'w> MakeWriter<'w> + Send + Sync + 'static> Writer for W {}

fn filter(level: Option<&str>, from_environment: Option<&str>) -> Result<EnvFilter, LogSetupError> {
    let environment = from_environment.filter(|directives| !directives.trim().is_empty());
    let (origin, directives) = match (level, environment) {
        (Some(level), _) => ("--log-level", level),
        (None, Some(directives)) => (EnvFilter::DEFAULT_ENV, directives),
        (None, None) => ("", DEFAULT_LEVEL),
    };
    let parsed = EnvFilter::builder().parse(directives);
    parsed.map_err(|source| LogSetupError::Level { origin, directives: directives.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use orchestrator_core::scheduler::{Event, JobFacts, Observer, SessionEnd, WaitForecast};
    use serde_json::Value;

    use super::*;
    use crate::observe::LogObserver;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    /// One line at `info`, one at `debug`.
    fn log_something() {
        let job = JobFacts { id: "j\n1", engine: "vllm", ..JobFacts::default() };
        LogObserver.observe(5, &Event::JobEnqueued { job, forecast: WaitForecast::default() });
        LogObserver.observe(6, &Event::SessionEnded { session_id: "s", cause: SessionEnd::Expired });
    }

    // LOG-1: a line is one JSON object with the fields at its top; a filter keeps out what it should.
    #[test]
    fn json_lines_have_their_fields_at_the_top() {
        let kept = Kept::default();
        let (writer, filter) = (kept.clone(), filter(Some("info"), None).unwrap());
        tracing::subscriber::with_default(json_lines(filter, move || writer.clone()), log_something);
        let line: Value = serde_json::from_str(kept.text().trim_end()).unwrap();
        assert_eq!(
            (&line["level"], &line["event"], &line["job_id"]),
            (&"INFO".into(), &"job_enqueued".into(), &"j\n1".into())
        );
        assert_eq!((&line["queue_position"], &line["human"]), (&0.into(), &"accepted, 0 before it".into()));
        assert!(line["timestamp"].is_string() && line["target"] == "orchestrator::scheduler", "{line}");
        assert!(line.get("session_id").is_none() && line.get("fields").is_none(), "{line}");
    }

    #[test]
    fn text_lines_are_plain() {
        let kept = Kept::default();
        let (writer, filter) = (kept.clone(), filter(Some("debug"), None).unwrap());
        tracing::subscriber::with_default(text_lines(filter, move || writer.clone()), log_something);
        let text = kept.text();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("session_ended"), "{text}");
    }

    #[test]
    fn the_option_wins_over_the_environment() {
        let shown = |level, environment| filter(level, environment).unwrap().to_string();
        assert_eq!(shown(None, None), "warn");
        assert_eq!(shown(None, Some(" ")), "warn");
        assert_eq!(shown(None, Some("debug")), "debug");
        assert_eq!(shown(Some("info"), Some("debug")), "info");
        assert_eq!(shown(Some("warn,orchestrator::scheduler=debug"), None), "orchestrator::scheduler=debug,warn");
    }

    #[test]
    fn a_level_that_is_none_is_an_error_that_names_its_place() {
        let error = filter(Some("a=b=c"), None).unwrap_err().to_string();
        assert!(error.starts_with("--log-level: `a=b=c` is no log level: "), "{error}");
        let error = filter(None, Some("x=loud")).unwrap_err().to_string();
        assert!(error.starts_with("RUST_LOG: `x=loud` is no log level: "), "{error}");
    }
}
