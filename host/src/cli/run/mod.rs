//! `orchestrator run`: a scheduler in a process.
//!
//! ```text
//! stdin ─▶ Feed ─▶ EventText ─▶ Driver ─▶ answers, actions ─▶ stdout
//!           ▲                     │ timers at their own time
//!        signals                  └─▶ metrics page, log lines, recording
//! ```
//!
//! Invariants: what a driver is told is written out before its next line is waited for; on the clock of the events
//! nothing depends on when a line came; whatever ends the run, the recording is whole and the summary is said.

mod feed;
mod output;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use orchestrator_core::scheduler::{Answer, Input};
use same_file::Handle;

use self::feed::{Feed, Next};
use self::output::Output;
use super::{Completion, Failure, load, terminal};
use crate::daemon::{Driver, HostStorage, OUTCOME_BYTES, RecordingFile, Said, Sizes};
use crate::fleet::LiveFleet;
use crate::input::{EventText, Line, Warnings};
use crate::observe::{LogFormat, LogObserver, MetricsObserver, MetricsServer, init_logs, serve_metrics};
use crate::wire::RefusedLine;

/// Run a scheduler.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  orchestrator run --clock events --record run.rec < examples/events.jsonl

Events come as JSON Lines on standard input, docs/spec.md section 21; each gets an answer line
and the lines of its actions, section 22. SIGTERM and SIGINT end the run cleanly.
On the wall clock at_ms of events is not used.
The recording is locked while it is written, and truncated only by a start that succeeds.
Exit code 1: a line could not be read, or a row of the fleet was refused; standard error names
it. Jobs that the scheduler refuses, and what it answers else, do not count.
Exit code 2 also: nobody reads the answers any more, or the recording is not whole.")]
pub(super) struct RunArgs {
    /// Pools to begin with; others come as events
    #[arg(long, value_name = "JSON")]
    fleet: Option<PathBuf>,
    /// How pools are chosen, how jobs wait and run, prices; without one the defaults stand
    #[arg(long, value_name = "TOML")]
    policy: Option<PathBuf>,
    /// Record every input and outcome, for `orchestrator replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Time is the system's, or what the events say: then equal events give equal runs
    #[arg(long, value_enum, default_value_t = Clock::Wall)]
    clock: Clock,
    /// At the end of the events go on until no job is left that ends by itself
    #[arg(long)]
    drain: bool,
    /// Serve metrics at http://ADDRESS/metrics, such as 127.0.0.1:9100; port 0 is any free one
    #[arg(long, value_name = "ADDRESS")]
    metrics_addr: Option<SocketAddr>,
    /// Allow a metrics address that other machines can reach
    #[arg(long, requires = "metrics_addr")]
    metrics_public: bool,
    /// Log events to standard error, as json or text
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    log: Option<LogFormat>,
    /// What is logged: a level or directives; without it RUST_LOG, else warn
    #[arg(long, value_name = "LEVEL", requires = "log")]
    log_level: Option<String>,
    /// Jobs that can wait
    #[arg(long, value_name = "N", default_value_t = Sizes::default().waiting)]
    max_waiting: u32,
    /// Bytes that a waiting job can take
    #[arg(long, value_name = "N", default_value_t = Sizes::default().job_bytes)]
    job_bytes: u32,
    /// Jobs that can run
    #[arg(long, value_name = "N", default_value_t = Sizes::default().running, value_parser = clap::value_parser!(u32).range(1..))]
    max_running: u32,
    /// Sessions that are remembered
    #[arg(long, value_name = "N", default_value_t = Sizes::default().sessions)]
    max_sessions: u32,
    /// Pools
    #[arg(long, value_name = "N", default_value_t = Sizes::default().pools)]
    max_pools: u32,
    /// Tenants with a turn of their own
    #[arg(long, value_name = "N", default_value_t = Sizes::default().tenants)]
    max_tenants: u32,
    /// Write here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Clock {
    // Not a doc comment: clap would give every option lines of its own.
    Wall,
    Events,
}

pub(super) fn run(args: &RunArgs) -> Result<Completion, Failure> {
    args.check_outputs()?;
    let policies = load::policies(args.policy.as_deref())?;
    let sizes = args.sizes();
    let mut storage = HostStorage::new(&sizes, &policies.prices)?;
    if args.record.is_none() {
        storage = storage.with_random_hashes();
    }
    if let Some(format) = args.log {
        terminal::say_behind(init_logs(format, args.log_level.as_deref())?);
    }
    let metrics = args.metrics_addr.map(|_| MetricsObserver::new());
    let server = args.serve(metrics.as_ref())?;
    let observers = (metrics, args.log.map(|_| LogObserver));
    let fleet = LiveFleet::with_capacity(sizes.pools);
    let mut driver = Driver::new(fleet, storage.storage(), &policies, None, observers);
    let mut outcome = Vec::new();
    if let Some(path) = &args.record {
        let file = args.open_recording(path)?;
        outcome.resize(OUTCOME_BYTES, 0);
        driver.record(file, &mut outcome, sizes, &policies);
    }
    let mut run = Run {
        driver,
        clock: Time { start: Instant::now(), kind: args.clock },
        out: Output::open(args.output.as_deref())?,
        warnings: Warnings::default(),
        refusals: load::Refusals::of(Path::new("<stdin>")),
    };
    let refused_pools = args.fleet.as_deref().map(|path| run.take_fleet(path)).transpose()?.unwrap_or(0);
    let ended = run.take_events(args.drain);
    drop(server);
    run.close(args.record.as_deref(), refused_pools, ended)
}

impl RunArgs {
    fn check_outputs(&self) -> Result<(), Failure> {
        let inputs = || self.fleet.iter().chain(&self.policy);
        load::check_output(inputs(), self.record.as_deref())?;
        load::check_output(inputs(), self.output.as_deref())?;
        Ok(())
    }

    /// Compared with everything else once it is there, so that no link hides that they are one.
    fn open_recording(&self, path: &Path) -> Result<RecordingFile, Failure> {
        let in_file = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let file = RecordingFile::open(path).map_err(|error| in_file(&format_args!("cannot be written: {error}")))?;
        if path.is_file() {
            let recording = Handle::from_path(path)?;
            let is = |handle: io::Result<Handle>| handle.is_ok_and(|other| other == recording);
            if is(Handle::stdin()) {
                return Err(in_file(&"is an input; name another file for the recording").into());
            }
            if is(self.output.as_ref().map_or_else(Handle::stdout, Handle::from_path)) {
                return Err(in_file(&"the recording and the output cannot be one file").into());
            }
        }
        Ok(file)
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            waiting: self.max_waiting,
            job_bytes: self.job_bytes,
            running: self.max_running,
            sessions: self.max_sessions,
            pools: self.max_pools,
            tenants: self.max_tenants,
            ..Sizes::default()
        }
    }

    fn serve(&self, metrics: Option<&MetricsObserver>) -> Result<Option<MetricsServer>, Failure> {
        let Some((address, metrics)) = self.metrics_addr.zip(metrics) else { return Ok(None) };
        let server = serve_metrics(address, self.metrics_public, metrics.handle())?;
        terminal::say(format_args!("metrics: http://{}/metrics", server.address()));
        Ok(Some(server))
    }
}

/// What time it is.
#[derive(Debug, Clone, Copy)]
struct Time {
    start: Instant,
    kind: Clock,
}

impl Time {
    /// The time of an event that says `said_us`, where the one before was at `last_us`.
    fn of_event(self, said_us: Option<u64>, last_us: u64) -> u64 {
        match self.kind {
            Clock::Wall => self.now_us(),
            Clock::Events => said_us.unwrap_or(last_us),
        }
    }

    fn now_us(self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

type Observers = (Option<MetricsObserver>, Option<LogObserver>);

type RunDriver<'a> = Driver<'a, LiveFleet, Observers>;

struct Run<'a> {
    driver: RunDriver<'a>,
    clock: Time,
    out: Output,
    warnings: Warnings,
    refusals: load::Refusals<'a>,
}

impl Run<'_> {
    /// Every row is a snapshot at time 0.
    fn take_fleet(&mut self, path: &Path) -> Result<u64, Failure> {
        let Self { driver, out, warnings, .. } = self;
        load::snapshots(path, warnings, |snapshot| {
            let answer = driver.drive(&Input::Snapshot(snapshot), 0, &mut |said| {
                if matches!(said, Said::Action { .. }) {
                    out.say(&said);
                }
            });
            if let Answer::BadSnapshot(error) = answer { Err(error.to_string()) } else { Ok(()) }
        })
    }

    fn take_events(&mut self, drain: bool) -> Result<(), Failure> {
        let feed = Feed::start(io::stdin())?;
        loop {
            let next = match feed.ready() {
                Some(next) => next,
                None => {
                    self.flush()?;
                    feed.wait(self.next_timer())
                }
            };
            match next {
                Next::Line(line) => self.take_line(&line.as_line(), &feed)?,
                Next::Nothing => self.let_timers_fire()?,
                Next::Failed(error) => return Err(format!("standard input cannot be read: {error}").into()),
                Next::Stop => return self.flush(),
                Next::End => break,
            }
        }
        if drain {
            self.drain(&feed)?;
        }
        self.flush()
    }

    fn take_line(&mut self, line: &Line<'_>, feed: &Feed) -> Result<(), Failure> {
        let Self { driver, clock, out, warnings, refusals } = self;
        match EventText::read(line, warnings) {
            Err(refused) => {
                refusals.add(refused.line, &refused.error);
                out.line(&RefusedLine::new(&refused));
            }
            Ok(event) => {
                let at_us = clock.of_event(event.at_us(), driver.scheduler().now_us());
                // Timer by timer: a long time without events may be full of them.
                while let Some(due_us) = driver.next_timer_us().filter(|&due_us| due_us <= at_us) {
                    if feed.is_stopping() {
                        return Ok(());
                    }
                    driver.tick_until(due_us, &mut |said| out.say(&said));
                    write_much(driver, out)?;
                    if driver.next_timer_us().is_some_and(|next_us| next_us <= due_us) {
                        break;
                    }
                }
                event.with_input(|input| {
                    // What became of it is said.
                    let _ = driver.drive(&input, at_us, &mut |said| out.say(&said));
                });
            }
        }
        write_much(&mut self.driver, &mut self.out)
    }

    /// When the next timer fires, on the wall clock: those of the events' clock fire when an event says so.
    fn next_timer(&self) -> Option<Instant> {
        let due_us = self.driver.next_timer_us().filter(|_| self.clock.kind == Clock::Wall)?;
        self.clock.start.checked_add(Duration::from_micros(due_us))
    }

    fn let_timers_fire(&mut self) -> Result<(), Failure> {
        if self.clock.kind == Clock::Wall {
            let Self { driver, clock, out, .. } = self;
            driver.tick_until(clock.now_us(), &mut |said| out.say(&said));
        }
        write_much(&mut self.driver, &mut self.out)
    }

    /// Goes on without events while jobs are left that end by themselves.
    fn drain(&mut self, feed: &Feed) -> Result<(), Failure> {
        while self.driver.scheduler().next_job_end_us().is_some() && !feed.is_stopping() {
            match self.clock.kind {
                Clock::Wall => {
                    self.flush()?;
                    feed.wait(self.next_timer());
                    self.let_timers_fire()?;
                }
                Clock::Events => {
                    let Some(due_us) = self.driver.next_timer_us() else { break };
                    let out = &mut self.out;
                    self.driver.tick_until(due_us, &mut |said| out.say(&said));
                    write_much(&mut self.driver, &mut self.out)?;
                }
            }
        }
        Ok(())
    }

    /// Nothing is held back while nothing comes.
    fn flush(&mut self) -> Result<(), Failure> {
        flush_recording(&mut self.driver);
        self.out.flush()
    }

    /// Closes the recording and says how it went, however it ended.
    fn close(
        mut self,
        record: Option<&Path>,
        refused_pools: u64,
        ended: Result<(), Failure>,
    ) -> Result<Completion, Failure> {
        let recording = self.driver.recording_mut();
        let failure = recording.and_then(|recording| {
            recording.flush();
            recording.failure().map(ToString::to_string)
        });
        load::say_warnings(&self.warnings);
        let scheduler = self.driver.scheduler();
        let (pools, waiting, running) = (
            orchestrator_core::PoolRegistry::len(scheduler.fleet()),
            scheduler.waiting_jobs(),
            scheduler.leased_jobs(),
        );
        terminal::say(format_args!("fleet: {pools} pools at the end, {refused_pools} rows refused"));
        terminal::say(self.driver.tally());
        terminal::say(format_args!("left: {waiting} jobs wait, {running} run"));
        terminal::say(format_args!("run digest: {:016x}", self.driver.digest()));
        let refused = refused_pools + self.refusals.finish();
        ended?;
        match (failure, record) {
            (Some(why), Some(path)) => Err(format!("{}: the recording is not whole: {why}", path.display()).into()),
            _ => Ok(Completion::from_findings(refused > 0)),
        }
    }
}

/// Writes what is to be said, once it is much.
fn write_much(driver: &mut RunDriver<'_>, out: &mut Output) -> Result<(), Failure> {
    if !out.is_much() {
        return Ok(());
    }
    flush_recording(driver);
    out.write()
}

/// An input is in the recording before anybody reads its answer. RECORD-1.
fn flush_recording(driver: &mut RunDriver<'_>) {
    if let Some(recording) = driver.recording_mut() {
        recording.flush();
        if let Some(error) = recording.untold_failure() {
            terminal::say(format_args!("warning: the recording ends here: {error}"));
        }
    }
}
