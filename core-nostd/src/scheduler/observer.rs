//! Who watches: metrics, logs and the flight recorder see every event and can change nothing. EVENT-2.
//!
//! ```
//! use orchestrator_core::scheduler::{Event, Observer};
//!
//! struct CountFinished(u32);
//! impl Observer for CountFinished {
//!     fn observe(&mut self, _now_us: u64, event: &Event<'_>) {
//!         self.0 += u32::from(matches!(event, Event::JobFinished { .. }));
//!     }
//! }
//! // Observers are joined in tuples; `()` watches nothing.
//! let mut both = (CountFinished(0), ());
//! both.observe(0, &Event::PoliciesChanged { placement_hash: 1, scheduler_hash: 2 });
//! assert_eq!(both.0.0, 0);
//! ```

use super::event::Event;

/// Sees every change of a scheduler, in order.
pub trait Observer {
    /// Something changed at `now_us`.
    fn observe(&mut self, now_us: u64, event: &Event<'_>);
}

/// Watches nothing.
impl Observer for () {
    fn observe(&mut self, _now_us: u64, _event: &Event<'_>) {}
}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn observe(&mut self, now_us: u64, event: &Event<'_>) {
        (**self).observe(now_us, event);
    }
}

impl<O: Observer> Observer for Option<O> {
    fn observe(&mut self, now_us: u64, event: &Event<'_>) {
        if let Some(observer) = self {
            observer.observe(now_us, event);
        }
    }
}

/// One after the other.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn observe(&mut self, now_us: u64, event: &Event<'_>) {
        self.0.observe(now_us, event);
        self.1.observe(now_us, event);
    }
}
