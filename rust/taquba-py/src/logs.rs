//! What the native code has to say (engine, storage engine, stores), on its way to Python's
//! `logging`.
//!
//! # Invariants
//!
//! 1. Nobody who says something waits for Python: what is said goes into a bounded buffer, and what
//!    finds no room is counted instead. A thread of Python's own watches a descriptor and takes all
//!    there is.
//! 2. Nothing listens before [`start_logs`], and a level that nobody wants costs a load.
//! 3. An entry is short, whatever it was made of.
//! 4. What libraries of HTTP and TLS say below a warning is never taken: it shows headers.
//!
//! # Not here
//!
//! Hiding secrets, escaping and naming loggers is the work of `taquba/logs.py`.

use std::fmt::{self, Write as _};
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use log::Log;
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use taquba_engine::clock::{Clock, SystemClock};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{
    Dispatch, Event, Level, LevelFilter, Metadata, Subscriber, callsite, dispatcher,
};

use crate::runtime::{enter, has_forked};
use crate::wake::Wake;

/// A burst at the finest level fits; Python takes it in milliseconds.
const ENTRY_COUNT_MAX: usize = 8_192;
/// Far less than entries of the largest size would come to: usual ones have a hundred bytes.
const BUFFER_BYTES_MAX: usize = 4 << 20;
const MESSAGE_BYTES_MAX: usize = 2_048;
const VALUE_BYTES_MAX: usize = 512;
/// Ours and the storage engine's have six at most.
const FIELD_COUNT_MAX: usize = 16;

/// Whose debugging is taken: none of them has a request's headers in it.
const TARGETS: [&str; 3] = ["taquba", "slatedb", "object_store"];

/// The least urgent level that is taken: 1 for errors to 5 for traces, 0 for nothing.
static LEVEL: AtomicU8 = AtomicU8::new(0);
static BUFFER: Mutex<Buffer> =
    Mutex::new(Buffer { entries: Vec::new(), bytes: 0, dropped_count: 0, wake: None });
static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();

/// What was said and not taken yet. Without a descriptor nobody listens.
struct Buffer {
    entries: Vec<Entry>,
    bytes: usize,
    dropped_count: u64,
    wake: Option<Wake>,
}

/// When, how urgent (as [`LEVEL`]), who, which line, what, and its fields.
#[derive(IntoPyObject)]
struct Entry(u64, u8, String, u32, String, Vec<(&'static str, String)>);

/// Listens to both ways in which Rust code speaks.
struct Listener;

/// Listen from now on, at `level` (1 for errors to 5 for traces). Returns the descriptor that is
/// readable while something waits.
#[pyfunction]
pub fn start_logs(py: Python<'_>, level: u8) -> PyResult<RawFd> {
    enter(py, || {
        install().map_err(PyRuntimeError::new_err)?;
        let wake = Wake::new()?;
        let fileno = wake.fileno();
        BUFFER.lock().wake = Some(wake);
        listen_at(level);
        Ok(fileno)
    })
}

/// Change the level, 0 for nothing.
#[pyfunction]
pub fn set_log_level(py: Python<'_>, level: u8) -> PyResult<()> {
    enter(py, || {
        listen_at(level);
        Ok(())
    })
}

/// Make the descriptor readable.
#[pyfunction]
pub fn wake_logs() {
    if !has_forked()
        && let Some(wake) = &BUFFER.lock().wake
    {
        wake.notify();
    }
}

/// Take all there is. Returns the entries, and how many found no room since the last call.
#[pyfunction]
#[expect(private_interfaces, reason = "Python sees tuples")]
pub fn take_logs() -> (Vec<Entry>, u64) {
    if has_forked() {
        return (Vec::new(), 0);
    }
    let mut buffer = BUFFER.lock();
    if let Some(wake) = &buffer.wake {
        wake.clear();
    }
    buffer.bytes = 0;
    (std::mem::take(&mut buffer.entries), std::mem::take(&mut buffer.dropped_count))
}

/// Listen no longer, and give the descriptor back.
#[pyfunction]
pub fn stop_logs() {
    LEVEL.store(0, Ordering::Relaxed);
    // In a forked child a lock may be held for ever by a thread that is not there.
    if has_forked() {
        return;
    }
    listen_at(0);
    let mut buffer = BUFFER.lock();
    *buffer = Buffer { entries: Vec::new(), bytes: 0, dropped_count: 0, wake: None };
}

/// Once in a process: what listens can be told to be quiet, never to leave.
fn install() -> Result<(), String> {
    let installed = INSTALLED.get_or_init(|| {
        let taken = "something else listens to what the native code says";
        let traced = dispatcher::set_global_default(Dispatch::new(Listener));
        traced.map_err(|_| taken.to_owned())?;
        log::set_logger(&Listener).map_err(|_| taken.to_owned())
    });
    installed.clone()
}

fn listen_at(level: u8) {
    LEVEL.store(level, Ordering::Relaxed);
    log::set_max_level(log_filter(level));
    // Reads `Listener::max_level_hint`.
    callsite::rebuild_interest_cache();
}

fn is_wanted(level: u8, target: &str) -> bool {
    let is_known = || TARGETS.iter().any(|name| target.starts_with(name));
    level <= LEVEL.load(Ordering::Relaxed) && (level <= number(Level::WARN) || is_known())
}

const fn log_filter(level: u8) -> log::LevelFilter {
    match level {
        0 => log::LevelFilter::Off,
        1 => log::LevelFilter::Error,
        2 => log::LevelFilter::Warn,
        3 => log::LevelFilter::Info,
        4 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    }
}

const fn trace_filter(level: u8) -> LevelFilter {
    match level {
        0 => LevelFilter::OFF,
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

const fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

impl Buffer {
    fn put(&mut self, entry: Entry) {
        let Some(wake) = &self.wake else { return };
        let bytes = self.bytes + entry.bytes();
        if self.entries.len() == ENTRY_COUNT_MAX || bytes > BUFFER_BYTES_MAX {
            self.dropped_count += 1;
            return;
        }
        if self.entries.is_empty() {
            wake.notify();
        }
        self.entries.push(entry);
        self.bytes = bytes;
    }
}

impl Entry {
    fn new(level: u8, target: &str, line: Option<u32>) -> Self {
        let at_ms = SystemClock::new().wall_ms();
        let target = Clipped::of(VALUE_BYTES_MAX, &format_args!("{target}"));
        Self(at_ms, level, target, line.unwrap_or_default(), String::new(), Vec::new())
    }

    fn bytes(&self) -> usize {
        let fields = self.5.iter().map(|(_, value)| size_of::<(&str, String)>() + value.len());
        size_of::<Self>() + self.2.len() + self.4.len() + fields.sum::<usize>()
    }

    /// Leaves it for Python. What was said is written out before: no lock is held meanwhile.
    fn put(self) {
        if !has_forked() {
            BUFFER.lock().put(self);
        }
    }
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.4 = Clipped::of(MESSAGE_BYTES_MAX, &format_args!("{value:?}"));
        } else if self.5.len() < FIELD_COUNT_MAX {
            let value = Clipped::of(VALUE_BYTES_MAX, &format_args!("{value:?}"));
            self.5.push((field.name(), value));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl Subscriber for Listener {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // Asked each time, of what the level lets through: a level is changed by a store.
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(trace_filter(LEVEL.load(Ordering::Relaxed)))
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && is_wanted(number(*metadata.level()), metadata.target())
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut entry = Entry::new(number(*metadata.level()), metadata.target(), metadata.line());
        event.record(&mut entry);
        entry.put();
    }

    // Spans are never enabled. Whoever makes one all the same gets a number that means nothing.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Log for Listener {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        is_wanted(metadata.level() as u8, metadata.target())
    }

    fn log(&self, record: &log::Record<'_>) {
        if Log::enabled(self, record.metadata()) {
            let mut entry = Entry::new(record.level() as u8, record.target(), record.line());
            entry.4 = Clipped::of(MESSAGE_BYTES_MAX, record.args());
            entry.put();
        }
    }

    fn flush(&self) {}
}

/// Text that stops being written when it is long enough.
struct Clipped {
    text: String,
    bytes_max: usize,
}

impl Clipped {
    fn of(bytes_max: usize, value: &fmt::Arguments<'_>) -> String {
        let mut clipped = Self { text: String::new(), bytes_max };
        if clipped.write_fmt(*value).is_err() {
            clipped.text.push('…');
        }
        clipped.text
    }
}

impl fmt::Write for Clipped {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.bytes_max - self.text.len();
        let fitting = part.floor_char_boundary(room);
        self.text.push_str(&part[..fitting]);
        if fitting < part.len() { Err(fmt::Error) } else { Ok(()) }
    }
}
