//! Log lines that a test expects.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use regex::Regex;
use tracing::dispatcher::{self, DefaultGuard, Dispatch};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Asserts that a line is logged by this thread while it is there, and keeps it out of the log.
///
/// Lines that do not match go where they would have gone. When it is dropped and there was none that matches, the test
/// fails.
///
/// ```
/// use squall::log;
/// use squall::testing::ExpectLog;
///
/// # squall::IoLoop::current().run_sync(async {
/// let expected = ExpectLog::new(log::APPLICATION, "Exception in callback .*: oh no");
/// squall::IoLoop::current().add_callback(|| panic!("oh no"));
/// squall::concurrent::sleep(std::time::Duration::from_millis(10)).await;
/// assert_eq!(expected.count(), 1);
/// # }, None).unwrap();
/// ```
#[must_use = "it looks at the log as long as it is there"]
pub struct ExpectLog {
    shared: Arc<Shared>,
    required: bool,
    _guard: DefaultGuard,
}

struct Shared {
    target: String,
    pattern: Regex,
    found: Mutex<Found>,
    former: Dispatch,
}

#[derive(Default)]
struct Found {
    level: Option<Level>,
    matching: usize,
    /// What else was logged to the target, for the message of a failed assertion.
    others: Vec<String>,
}

impl ExpectLog {
    /// Expects a line to `target` (such as [`log::GENERAL`](crate::log::GENERAL); the empty name is every one) in which the
    /// regular expression is found.
    ///
    /// # Panics
    /// When `pattern` is no regular expression.
    #[track_caller]
    pub fn new(target: &str, pattern: &str) -> Self {
        let pattern = match Regex::new(pattern) {
            Ok(pattern) => pattern,
            Err(error) => panic!("ExpectLog: {error}"),
        };
        let former = dispatcher::get_default(Clone::clone);
        let shared = Arc::new(Shared { target: target.to_owned(), pattern, found: Mutex::default(), former });
        let guard = dispatcher::set_default(&Dispatch::new(Watch(Arc::clone(&shared))));
        ExpectLog { shared, required: true, _guard: guard }
    }

    /// Lines of another level do not count.
    pub fn level(self, level: Level) -> Self {
        self.shared.found().level = Some(level);
        self
    }

    /// It is no failure if there is no such line (Tornado's `required=False`).
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// How many lines have matched so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.found().matching
    }
}

impl Drop for ExpectLog {
    fn drop(&mut self) {
        if !self.required || std::thread::panicking() {
            return;
        }
        let found = self.shared.found();
        let (missing, others) = (found.matching == 0, found.others.join("\n"));
        drop(found);
        assert!(!missing, "no line {:?} was logged; there were:\n{others}", self.shared.pattern.as_str());
    }
}

impl fmt::Debug for ExpectLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpectLog").field("pattern", &self.shared.pattern.as_str()).finish_non_exhaustive()
    }
}

impl Shared {
    /// No code of others runs under this lock, so a poisoned one still holds a whole list.
    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is one that is expected.
    fn takes(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        if !self.target.is_empty() && metadata.target() != self.target {
            return false;
        }
        let message = Message::of(event);
        let mut found = self.found();
        let of_level = found.level.is_none_or(|level| *metadata.level() == level);
        if of_level && self.pattern.is_match(&message) {
            found.matching += 1;
            return true;
        }
        found.others.push(message);
        false
    }
}

/// What the thread logs to meanwhile.
struct Watch(Arc<Shared>);

impl Subscriber for Watch {
    /// Whatever the program's own log leaves out may be expected.
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.former.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.0.former.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.0.former.record_follows_from(span, follows);
    }

    fn event(&self, event: &Event<'_>) {
        if !self.0.takes(event) && self.0.former.enabled(event.metadata()) {
            self.0.former.event(event);
        }
    }

    fn enter(&self, span: &Id) {
        self.0.former.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.0.former.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.0.former.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.0.former.try_close(id)
    }
}

/// The text of an event.
#[derive(Default)]
struct Message(String);

impl Message {
    fn of(event: &Event<'_>) -> String {
        let mut message = Message::default();
        event.record(&mut message);
        message.0
    }
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a `String` cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}
