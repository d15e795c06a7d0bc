//! `orchestrator bench`: how fast the backends are on this machine, beside the machine's limits.

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::kernels::KernelArgs;
use super::threads::ThreadArgs;
use super::{Completion, Failure, terminal};
use crate::bench::{BackendFigures, Figures, Size, bench};

/// Measure the backends on this machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  orchestrator bench --sizes 10000x1000

Pairs are those of a pool and a job that are evaluated; all jobs differ. `of bare` compares with a
loop that does nothing but the arithmetic of a pair on one core, `memory` is what a plain read of
memory gives. A line's digest is of its answers: backends of one size have the same.")]
pub(super) struct BenchArgs {
    /// Pools and jobs
    #[arg(long, value_name = "POOLSxJOBS", value_delimiter = ',', default_value = "1000x1000,10000x1000,100000x256")]
    sizes: Vec<Size>,
    #[command(flatten)]
    threads: ThreadArgs,
    /// Measure everything for at least so long
    #[arg(long, value_name = "MS", default_value_t = 500)]
    at_least_ms: u64,
    /// Columns for people, or one JSON object per size
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    kernels: KernelArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(super) fn run(args: &BenchArgs) -> Result<Completion, Failure> {
    let options = args.kernels.options(args.threads.count())?;
    let progress = terminal::progress_of(args.sizes.len() as u64);
    let mut out = io::stdout().lock();
    for &size in &args.sizes {
        progress.set_message(size.to_string());
        let figures = bench(size, &options, Duration::from_millis(args.at_least_ms))?;
        match args.format {
            Format::Json => writeln!(out, "{}", serde_json::to_string(&figures)?)?,
            Format::Table => write_table(&mut out, &figures)?,
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(Completion::Fine)
}

fn columns_of(row: &BackendFigures) -> String {
    let both = row.column_bytes_per_s.zip(row.share_of_memory_read);
    both.map_or_else(String::new, |(bytes_per_s, share)| {
        format!("{:.1} GB/s of columns ({share:.1} x memory)", bytes_per_s / 1e9)
    })
}

fn write_table(out: &mut impl Write, figures: &Figures) -> io::Result<()> {
    let Figures { size, pool_classes, job_classes, limits, backends } = figures;
    writeln!(
        out,
        "{size}: {pool_classes} classes of pools, {job_classes} of jobs; bare scan {:.2} Gpairs/s, memory {:.1} GB/s",
        limits.bare_pairs_per_s / 1e9,
        limits.memory_bytes_per_s / 1e9,
    )?;
    for row in backends {
        writeln!(
            out,
            "  {:<45} {:>8.3} Gpairs/s {:>6.1} % of bare {:>11.0} jobs/s {:>10.2} us/decision {:<35} digest {:016x} of {} jobs",
            row.backend,
            row.pairs_per_s / 1e9,
            row.share_of_bare_scan * 100.0,
            row.jobs_per_s,
            row.single_us,
            columns_of(row),
            row.digest,
            row.digest_jobs,
        )?;
        if let Some(transfers) = &row.transfers {
            writeln!(
                out,
                "    a call of {:.1} us: kernels {:.1} us ({:.3} Gpairs/s), host {:.1} us, {:.1} us for {} bytes to the \
                 device, {:.1} us for {} bytes from it; first call {:.1} us",
                transfers.call_us,
                transfers.kernel_us,
                transfers.kernel_pairs_per_s.unwrap_or(0.0) / 1e9,
                transfers.host_us,
                transfers.upload_us,
                transfers.upload_bytes,
                transfers.download_us,
                transfers.download_bytes,
                transfers.first_call_us,
            )?;
        }
    }
    Ok(())
}
