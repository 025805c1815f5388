//! Progress of a put or a get as lines on the terminal.

use dsn_cli::{Bars, Phase};
use dsn_client::{Progress, ProgressEvent};

/// The lines of a put: what is coded, what is on its way, what is safe.
pub(crate) struct PutMeter {
    bars: Bars,
    encoded: Phase,
    sent: Phase,
    confirmed: Phase,
}

/// The lines of a get: what came, and what is checked and written.
pub(crate) struct GetMeter {
    bars: Bars,
    fetched: Phase,
    written: Phase,
}

impl PutMeter {
    pub(crate) fn new(quiet: bool) -> Self {
        let bars = Bars::new(quiet);
        let (encoded, sent, confirmed) = (bars.phase("encoded"), bars.phase("sent"), bars.phase("confirmed"));
        Self { bars, encoded, sent, confirmed }
    }

    pub(crate) fn clear(&self) {
        [&self.encoded, &self.sent, &self.confirmed].iter().for_each(|phase| phase.clear());
        self.bars.clear();
    }
}

impl Progress for PutMeter {
    fn event(&self, event: ProgressEvent) {
        match event {
            ProgressEvent::Total(bytes) => [&self.encoded, &self.confirmed].iter().for_each(|p| p.set_total(bytes)),
            ProgressEvent::Encoded(bytes) => self.encoded.add(bytes),
            ProgressEvent::Sent(bytes) => self.sent.add(bytes),
            ProgressEvent::Confirmed(bytes) | ProgressEvent::Resumed(bytes) => self.confirmed.add(bytes),
            ProgressEvent::Fetched(_) | ProgressEvent::Written(_) => {}
        }
    }
}

impl GetMeter {
    pub(crate) fn new(quiet: bool) -> Self {
        let bars = Bars::new(quiet);
        let (fetched, written) = (bars.phase("fetched"), bars.phase("written"));
        Self { bars, fetched, written }
    }

    pub(crate) fn clear(&self) {
        [&self.fetched, &self.written].iter().for_each(|phase| phase.clear());
        self.bars.clear();
    }
}

impl Progress for GetMeter {
    fn event(&self, event: ProgressEvent) {
        match event {
            ProgressEvent::Total(bytes) => self.written.set_total(bytes),
            ProgressEvent::Fetched(bytes) => self.fetched.add(bytes),
            ProgressEvent::Written(bytes) | ProgressEvent::Resumed(bytes) => self.written.add(bytes),
            ProgressEvent::Encoded(_) | ProgressEvent::Sent(_) | ProgressEvent::Confirmed(_) => {}
        }
    }
}
