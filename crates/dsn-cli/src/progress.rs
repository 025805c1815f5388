//! Progress bars on stderr, only when a person looks at it: bytes, rate, time left; several lines for a put.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One line of the display.
#[derive(Clone, Debug)]
pub struct Phase {
    bar: ProgressBar,
}

/// All lines of the display.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
}

const WITH_TOTAL: &str = "{prefix:>9} [{bar:30}] {bytes:>10} of {total_bytes} {bytes_per_sec:>12} {eta:>4} left";
const WITHOUT_TOTAL: &str = "{prefix:>9} {spinner} {bytes:>10} {bytes_per_sec:>12}";

impl Bars {
    /// A display; hidden when `quiet` or nobody looks.
    pub fn new(quiet: bool) -> Self {
        let target = if quiet || !crate::stderr_is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(10)
        };
        Self { all: MultiProgress::with_draw_target(target) }
    }

    /// Adds a line.
    ///
    /// # Panics
    /// Never: the templates are constants.
    pub fn phase(&self, name: &'static str) -> Phase {
        let style = ProgressStyle::with_template(WITHOUT_TOTAL).expect("a valid template");
        let bar = self.all.add(ProgressBar::no_length().with_style(style).with_prefix(name));
        bar.enable_steady_tick(Duration::from_millis(200));
        Phase { bar }
    }

    /// Takes the display away.
    pub fn clear(&self) {
        // A terminal that has gone needs no clearing.
        let _gone = self.all.clear();
    }
}

impl Phase {
    /// The bytes that the line will reach.
    ///
    /// # Panics
    /// Never: the templates are constants.
    pub fn set_total(&self, bytes: u64) {
        let style = ProgressStyle::with_template(WITH_TOTAL).expect("a valid template").progress_chars("=> ");
        self.bar.set_length(bytes);
        self.bar.set_style(style);
    }

    /// So many bytes more.
    pub fn add(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bar.position()
    }

    /// Takes the line away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
