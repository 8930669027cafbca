//! One workload of the `taquba` and `taquba-workflow` crates, for the side-by-side measurement.
//!
//! Owns the command line and the two lines of the protocol on standard output, `begin` and
//! `end {...}`. The exit code is 0 only if everything that the `end` line says was checked is so. What
//! costs time to check, as opening the store again, is checked after that line: the driver takes the
//! CPU time of the workload when it reads it, and drops the workload if the exit code is not 0.

mod jobs;
mod runs;
mod store;

use std::path::PathBuf;
use std::time::Duration;

/// Anything that went wrong; the text goes to standard error.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

// The crates choose no allocator; this one is the faster choice of those who embed them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What one call shall do.
pub struct Arguments {
    pub workload: String,
    pub count: usize,
    pub in_flight: usize,
    pub directory: PathBuf,
}

/// What a workload says of itself.
pub struct End {
    /// Jobs, runs, or for `steps` steps.
    pub count: usize,
    pub took: Duration,
    /// One for each run, in any order; empty if they were not measured.
    pub latencies: Vec<Duration>,
    pub verified: String,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = parse(std::env::args().skip(1))?;
    match arguments.workload.as_str() {
        "enqueue" => jobs::enqueue(&arguments).await,
        "enqueue_batch" => jobs::enqueue_batch(&arguments).await,
        "drain" => jobs::drain(&arguments).await,
        "steps" => runs::steps(&arguments).await,
        "latency" => runs::latency(&arguments).await,
        other => Err(format!("unknown workload `{other}`").into()),
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, Failure> {
    let workload = words.next().ok_or("no workload")?;
    let (mut count, mut in_flight, mut directory) = (None, 1, None);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{word}` has no value"))?;
        match word.as_str() {
            "--count" => count = Some(value.parse()?),
            "--in-flight" => in_flight = value.parse()?,
            "--dir" => directory = Some(PathBuf::from(value)),
            _ => return Err(format!("unknown option `{word}`").into()),
        }
    }
    let count = count.ok_or("no --count")?;
    if count == 0 || in_flight == 0 {
        return Err("--count and --in-flight are at least 1".into());
    }
    let directory = directory.ok_or("no --dir")?;
    Ok(Arguments { workload, count, in_flight, directory })
}

/// How much of the work is done once before the measured phase: 5 %, at least 1.
#[must_use]
pub fn warm_up_count(count: usize) -> usize {
    (count / 20).max(1)
}

/// The measured phase begins now.
pub fn begin() {
    tell("begin");
}

/// The measured phase has ended.
pub fn end(said: End) {
    tell(&render(said));
}

fn tell(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").expect("the driver reads until we end");
    out.flush().expect("the driver reads until we end");
}

fn render(mut end: End) -> String {
    end.latencies.sort_unstable();
    let rank = |percent: usize| match end.latencies.len() {
        0 => "null".to_string(),
        length => {
            let index = (length * percent).div_ceil(100).max(1) - 1;
            format!("{:.4}", end.latencies[index].as_secs_f64() * 1e3)
        }
    };
    assert!(!end.verified.contains(['"', '\\']), "`verified` needs no escapes in JSON");
    format!(
        r#"end {{"count": {}, "seconds": {:.6}, "p50_ms": {}, "p99_ms": {}, "verified": "{}"}}"#,
        end.count,
        end.took.as_secs_f64(),
        rank(50),
        rank(99),
        end.verified
    )
}
