//! Where log lines go: standard error, as JSON lines or as text.
//!
//! What is logged is said by `--log`, else by `RUST_LOG`, else it is [`DEFAULT_LEVEL`]: a level, or directives such as
//! `warn,orchestrator::scheduler=debug`.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The level without `--log` and `RUST_LOG`.
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
        /// Where it stood: `--log` or `RUST_LOG`.
        origin: &'static str,
        /// What stood there.
        directives: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Log lines go somewhere already.
    #[error("log lines go somewhere already: {0}")]
    Again(#[from] TryInitError),
}

/// Sends log lines to standard error from now on, once per process. `level` is the value of `--log`.
///
/// # Errors
/// The level is none, or log lines go somewhere already.
pub fn init_logs(format: LogFormat, level: Option<&str>) -> Result<(), LogSetupError> {
    let from_environment = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let filter = filter(level, from_environment.as_deref())?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        // Fields at the top, beside `timestamp` and `level`: that is where collectors look for them.
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish().try_init()
        }
        LogFormat::Text => lines.with_ansi(false).finish().try_init(),
    }?;
    Ok(())
}

fn filter(level: Option<&str>, from_environment: Option<&str>) -> Result<EnvFilter, LogSetupError> {
    let environment = from_environment.filter(|directives| !directives.trim().is_empty());
    let (origin, directives) = match (level, environment) {
        (Some(level), _) => ("--log", level),
        (None, Some(directives)) => (EnvFilter::DEFAULT_ENV, directives),
        (None, None) => ("", DEFAULT_LEVEL),
    };
    let parsed = EnvFilter::builder().parse(directives);
    parsed.map_err(|source| LogSetupError::Level { origin, directives: directives.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(error.starts_with("--log: `a=b=c` is no log level: "), "{error}");
        let error = filter(None, Some("x=loud")).unwrap_err().to_string();
        assert!(error.starts_with("RUST_LOG: `x=loud` is no log level: "), "{error}");
    }
}
