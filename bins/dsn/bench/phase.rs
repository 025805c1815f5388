//! One part of a bench and what it took: time, processor, memory, bytes on the wire.

use std::{
    borrow::Cow,
    fmt,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use dsn_client::{Progress, ProgressEvent};
use serde::{Deserialize, Serialize};

use super::machine;

/// What a part took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Phase {
    pub(super) phase: Cow<'static, str>,
    pub(super) bytes: u64,
    pub(super) seconds: f64,
    pub(super) mb_per_s: f64,
    /// Of this process.
    pub(super) cpu_seconds: Option<f64>,
    /// Of the farmers that the command has started.
    pub(super) farmers_cpu_seconds: Option<f64>,
    /// Of this process.
    pub(super) peak_memory_bytes: Option<u64>,
    /// Bytes of pieces that went over the network.
    pub(super) wire_bytes: Option<u64>,
    /// Seconds since the start, and bytes done by then.
    #[serde(skip)]
    pub(super) samples: Vec<(f64, u64)>,
}

impl Phase {
    pub(super) const HEADER: &'static str =
        "phase        MB/s  seconds  CPU s  farmers' CPU s  peak MiB  wire MiB  (MB: a million bytes)";

    pub(super) fn wire(self, bytes: u64) -> Self {
        Self { wire_bytes: Some(bytes), ..self }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2}"));
        let mib = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), |bytes| (bytes >> 20).to_string());
        let (cpu, farmers) = (seconds(self.cpu_seconds), seconds(self.farmers_cpu_seconds));
        let (peak, wire) = (mib(self.peak_memory_bytes), mib(self.wire_bytes));
        write!(
            f,
            "{:<8} {:>8.0} {:>8.2} {cpu:>6} {farmers:>15} {peak:>9} {wire:>9}",
            self.phase, self.mb_per_s, self.seconds
        )
    }
}

/// A part that runs. It hears how far a put or a get is.
pub(super) struct Watch {
    phase: &'static str,
    started: Instant,
    cpu: Option<f64>,
    farmers: Vec<u32>,
    farmers_cpu: Option<f64>,
    done: Mutex<(u64, Vec<(f64, u64)>)>,
}

impl Watch {
    /// Starts now. `farmers` are processes whose time counts too.
    pub(super) fn start(phase: &'static str, farmers: &[u32]) -> Self {
        machine::forget_peak();
        Self {
            phase,
            cpu: machine::cpu_seconds(std::process::id()),
            farmers_cpu: machine::all_cpu_seconds(farmers),
            farmers: farmers.to_vec(),
            done: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// Ends now, with so many bytes done.
    pub(super) fn end(self, bytes: u64) -> Phase {
        let seconds = self.started.elapsed().as_secs_f64();
        let since = |now: Option<f64>, then: Option<f64>| Some(now? - then?);
        let (_, samples) = self.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        Phase {
            phase: self.phase.into(),
            bytes,
            seconds,
            mb_per_s: megabytes(bytes) / seconds.max(f64::EPSILON),
            cpu_seconds: since(machine::cpu_seconds(std::process::id()), self.cpu),
            farmers_cpu_seconds: since(machine::all_cpu_seconds(&self.farmers), self.farmers_cpu),
            peak_memory_bytes: machine::peak_bytes(),
            wire_bytes: None,
            samples,
        }
    }
}

impl Progress for Watch {
    fn event(&self, event: ProgressEvent) {
        let (ProgressEvent::Confirmed(bytes) | ProgressEvent::Written(bytes)) = event else { return };
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.0 += bytes;
        let sample = (self.started.elapsed().as_secs_f64(), done.0);
        done.1.push(sample);
    }
}

/// Millions of bytes.
#[expect(clippy::cast_precision_loss, reason = "a figure for people; exact up to 9 PB")]
pub(super) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
