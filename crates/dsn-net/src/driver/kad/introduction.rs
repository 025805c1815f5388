//! When a server introduces itself to its neighbours: as soon as there is a network, and again where few have answered. Those
//! that were too busy, or came at the same time, would not find it until it refreshes its routing table.

use std::time::{Duration, Instant};

/// A server introduces itself again after this long, and after twice as long each time.
const INTRODUCE_AGAIN: Duration = Duration::from_secs(5);
const INTRODUCE_AGAIN_MAX: Duration = Duration::from_secs(160);

/// When a server introduces itself to its neighbours once more.
pub(super) struct Introduction {
    next: Option<Instant>,
    wait: Duration,
}

impl Default for Introduction {
    fn default() -> Self {
        Self { next: None, wait: INTRODUCE_AGAIN }
    }
}

impl Introduction {
    /// Whether it is time for another one.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        self.next.take_if(|next| *next <= now).is_some()
    }

    /// One has ended; after too few answers there is another one, until the refresh of the table takes over.
    pub(super) fn ended(&mut self, is_known: bool, now: Instant) {
        if !is_known && self.wait <= INTRODUCE_AGAIN_MAX {
            self.next = Some(now + self.wait);
            self.wait *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_few_have_answered_introduces_itself_for_some_minutes() {
        let (mut introduction, start) = (Introduction::default(), Instant::now());
        let mut at = Vec::new();
        introduction.ended(false, start);
        for now in (0..900).map(|secs| start + Duration::from_secs(secs)) {
            if introduction.is_due(now) {
                at.push(now.duration_since(start).as_secs());
                introduction.ended(false, now);
            }
        }
        assert_eq!(at, [5, 15, 35, 75, 155, 315]);
        let mut introduction = Introduction::default();
        introduction.ended(true, start);
        assert!(!introduction.is_due(start + Duration::from_secs(900)));
    }
}
