//! The command: lives lives by their seeds, and judges histories.
//!
//! ```text
//! taquba-sim lane-a --seeds 0..1000 --operations 2000
//! taquba-sim lane-a --seeds 17..18 --operations 2000 --history life.jsonl
//! taquba-sim check life.jsonl
//! ```
//!
//! The last line of its output is a JSON object of counters. It exits with 1 if a promise was broken,
//! and says how to see it again.

#![expect(clippy::print_stdout, reason = "a command tells what it found on its standard output")]

mod arguments;
mod lives;

use std::process::ExitCode;

use arguments::Arguments;

fn main() -> ExitCode {
    let result =
        Arguments::of(std::env::args().skip(1)).and_then(|arguments| match arguments.command() {
            "lane-a" => lives::run(&lives::LANE_A, &arguments),
            "lane-b" => lives::run(&lives::LANE_B, &arguments),
            "hostile" => lives::hostile(&arguments),
            "check" => lives::check(&arguments),
            other => Err(format!(
                "`{other}` is no command: use `lane-a`, `lane-b`, `hostile` or `check`"
            )),
        });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("taquba-sim: {error}");
            ExitCode::from(2)
        }
    }
}
