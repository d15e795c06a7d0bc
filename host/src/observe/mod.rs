//! Who watches a scheduler: metrics for Prometheus, and log lines.
//!
//! Both are [`Observer`](orchestrator_core::scheduler::Observer)s: they see every event and can change nothing (EVENT-2).
//! They are joined in a tuple, and either can be left out.
//!
//! ```
//! use orchestrator_core::scheduler::{Event, JobFacts, Observer, WaitForecast};
//! use orchestrator_host::observe::{LogObserver, MetricsObserver};
//!
//! let metrics = MetricsObserver::new();
//! let handle = metrics.handle(); // for `serve_metrics`, on whatever thread
//! let mut observers = (metrics, LogObserver);
//! let job = JobFacts { id: "j", engine: "vllm", ..JobFacts::default() };
//! observers.observe(0, &Event::JobEnqueued { job, forecast: WaitForecast::default() });
//! assert!(handle.text().contains("tasks_enqueued_total{engine=\"vllm\","));
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `labels` | label values with a budget; series that are found without allocation |
//! | `families` | the metrics of the contract (`tests/metrics_contract.json`): names, labels, buckets |
//! | `metrics` | which event feeds which metric |
//! | `server`, `exchange` | the metrics page over HTTP: connections, and what is said over one |
//! | `logs`, `log_setup` | events as log lines; where log lines go |
//! | `log_writer` | log lines on their way out, for which nobody waits |

mod exchange;
mod families;
mod labels;
mod log_setup;
mod log_writer;
mod logs;
mod metrics;
mod server;

pub use labels::{LABEL_BUDGETS, OTHER, UNASSIGNED, UNKNOWN};
pub use log_setup::{LogFormat, LogSetupError, init_logs};
pub use log_writer::LogWriter;
pub use logs::{HUMAN_CHARS_MAX, LogObserver};
pub use metrics::{MetricsHandle, MetricsObserver};
pub use server::{MetricsServer, ServeError, serve_metrics};
