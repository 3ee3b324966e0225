//! Notices what holds the loop for too long.
//!
//! A loop that is watched notes what it is at in a word ([`Pulse`]), at which a thread looks from time to time. If the
//! word stays the same, the loop is at the same thing. The thread also has the loop come round, as many short tasks
//! would not change the word.
//!
//! The thread does not unwind the loop's stack: that takes locks and memory, which is not sound in a signal handler on
//! top of code that may be in the middle of either. It says what was run, and whether that computes or waits.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::thread::Pid;

use super::IoLoop;
use super::callbacks::Shared;
use super::panics::Origin;
use crate::log::GENERAL;

/// Debug builds log what holds the loop longer, unless they are told otherwise.
const DEBUG_THRESHOLD: Duration = Duration::from_millis(100);

/// Watching for what blocks.
impl IoLoop {
    /// Logs what holds the loop longer than this, as a warning: a handler with its route, a callback or timeout with the line
    /// where it was added, or a task of which no more is known; and whether it computes or waits. `None` watches for nothing.
    ///
    /// Default: 100 ms in debug builds, none in release builds, where a server whose
    /// [`worker_timeout`](crate::HttpServer::worker_timeout) is set logs what holds the loop half as long. It is noticed up to an eighth
    /// of the time late. This and [`set_blocking_signal_threshold`](Self::set_blocking_signal_threshold) replace one another.
    pub fn set_blocking_log_threshold(&self, threshold: impl Into<Option<Duration>>) {
        self.watch(threshold.into(), None);
    }

    /// Calls `action`, on a thread of its own, when something holds the loop longer than this. `None` watches for nothing.
    ///
    /// Once for each thing that does so. Tornado's action runs in a signal handler, on top of what blocks; this one may do
    /// what it likes, but cannot interrupt it.
    pub fn set_blocking_signal_threshold(
        &self,
        threshold: impl Into<Option<Duration>>,
        action: impl Fn(&Blocked) + Send + Sync + 'static,
    ) {
        self.watch(threshold.into(), Some(Arc::new(action)));
    }

    /// As [`set_blocking_log_threshold`](Self::set_blocking_log_threshold), where nobody has said anything else.
    pub(crate) fn log_blocking_by_default(&self, threshold: Duration) {
        if self.inner.watchdog.borrow().is_none() && DEFAULT.is_none_or(|default| default > threshold) {
            self.watch(Some(threshold), None);
        }
    }

    fn watch(&self, threshold: Option<Duration>, action: Option<Action>) {
        *self.inner.watchdog.borrow_mut() = Some(Watchdog { threshold, action });
        if self.is_running() {
            self.start_watching();
        }
    }

    /// The loop begins to run, or is watched in another way.
    pub(super) fn start_watching(&self) {
        let (threshold, action) = match &*self.inner.watchdog.borrow() {
            Some(Watchdog { threshold, action }) => (*threshold, action.clone()),
            None => (DEFAULT, None),
        };
        stop_watching();
        let Some(threshold) = threshold else { return };
        let pulse = Arc::new(Pulse::default());
        let watcher = Watcher {
            pulse: Arc::clone(&pulse),
            shared: Arc::clone(&self.inner.shared),
            thread: rustix::thread::gettid(),
            threshold,
            action,
        };
        // A loop that cannot be watched runs all the same.
        if std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || watcher.watch()).is_ok() {
            PULSE.set(Some(pulse));
            WATCHED.set(true);
        }
    }
}

/// The loop does not run any more.
pub(super) fn stop_watching() {
    WATCHED.set(false);
    if let Some(pulse) = PULSE.take() {
        pulse.lock().ended = true;
        pulse.changed.notify_all();
    }
}

const DEFAULT: Option<Duration> = if cfg!(debug_assertions) { Some(DEBUG_THRESHOLD) } else { None };

type Action = Arc<dyn Fn(&Blocked) + Send + Sync>;

/// How a loop is to be watched.
pub(super) struct Watchdog {
    threshold: Option<Duration>,
    /// `None`: it is logged.
    action: Option<Action>,
}

/// Something holds the loop.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Blocked {
    /// What: `the handler of /slow`, `a callback added at src/main.rs:7`, `a task`.
    pub what: String,
    /// For how long it has done so.
    pub held: Duration,
    /// What its thread is at: `computes`, `waits`, or nothing where that is not known (it is on Linux).
    pub state: &'static str,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, held, state } = self;
        write!(f, "The loop has been held for {:.2} s by {what}", held.as_secs_f64())?;
        if state.is_empty() { Ok(()) } else { write!(f, ", which {state}") }
    }
}

thread_local! {
    /// Whether anybody looks: what need not be noted otherwise.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static PULSE: RefCell<Option<Arc<Pulse>>> = const { RefCell::new(None) };
}

/// What a loop is at.
#[derive(Default)]
struct Pulse {
    /// A [`Place`] in the lower half, and a number in the upper one that changes with each turn.
    word: AtomicU64,
    /// The watcher is to be woken when the loop is.
    asleep: AtomicBool,
    control: Mutex<Control>,
    changed: Condvar,
}

#[derive(Default)]
struct Control {
    ended: bool,
    woken: bool,
}

impl Pulse {
    fn lock(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop goes on to something; says what it was at. There is one writer.
    fn turn_to(&self, place: Place) -> Place {
        let former = self.word.load(Ordering::Relaxed);
        let turn = (former >> 32).wrapping_add(1) << 32;
        self.word.store(turn | u64::from(place.0), Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.lock().woken = true;
            self.changed.notify_all();
        }
        place_of(former)
    }
}

fn place_of(word: u64) -> Place {
    Place(word as u32)
}

/// What can hold a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

/// With this bit it is the handler of a descriptor, else the number of a text.
const DESCRIPTOR: u32 = 1 << 31;

impl Place {
    /// Nothing: the loop waits for events, or does not run.
    const WAITING: Self = Self(0);
    /// A task of which no more is known.
    const TASK: Self = Self(1);

    /// The handler of a route.
    pub(crate) fn handler_of(route: &str) -> Self {
        Self::named(format!("the handler of {route}"))
    }

    pub(super) fn descriptor(fd: i32) -> Self {
        Self(DESCRIPTOR | fd.cast_unsigned() & !DESCRIPTOR)
    }

    /// As many as there are routes and places in the program's text.
    fn named(text: String) -> Self {
        let places = &mut *lock_places();
        if let Some(number) = places.numbers.get(&text) {
            return Self(*number);
        }
        let number = FIRST_NAMED + places.texts.len() as u32;
        places.texts.push(text.clone());
        places.numbers.insert(text, number);
        Self(number)
    }

    fn text(self) -> String {
        match self {
            Self::WAITING => "nothing".to_owned(),
            Self::TASK => "a task".to_owned(),
            Self(number) if number & DESCRIPTOR != 0 => {
                format!("the handler for fd {}", number & !DESCRIPTOR)
            }
            Self(number) => {
                let text = lock_places().texts.get((number - FIRST_NAMED) as usize).cloned();
                text.unwrap_or_else(|| "a task".to_owned())
            }
        }
    }
}

const FIRST_NAMED: u32 = 2;

#[derive(Default)]
struct Places {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

static PLACES: LazyLock<Mutex<Places>> = LazyLock::new(Mutex::default);

fn lock_places() -> MutexGuard<'static, Places> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Origin {
    /// Found by its address: its text need not be made each time.
    fn place(self) -> Place {
        thread_local! {
            static KNOWN: RefCell<HashMap<(usize, &'static str), Place>> = RefCell::default();
        }
        let key = (std::ptr::from_ref(self.location).addr(), self.kind);
        KNOWN.with_borrow_mut(|known| *known.entry(key).or_insert_with(|| Place::named(format!("a {self}"))))
    }
}

/// Runs what `place` names, if the loop is watched.
#[inline]
pub(crate) fn at<T>(place: impl FnOnce() -> Place, run: impl FnOnce() -> T) -> T {
    if !WATCHED.get() {
        return run();
    }
    /// Also when it panics.
    struct Back(Option<Place>);
    impl Drop for Back {
        fn drop(&mut self) {
            if let Some(former) = self.0 {
                turn_to(former);
            }
        }
    }
    let _back = Back(turn_to(place()));
    run()
}

/// [`at`] for what was given to the loop.
#[inline]
pub(super) fn at_origin<T>(origin: Origin, run: impl FnOnce() -> T) -> T {
    at(|| origin.place(), run)
}

/// A future that is named when it holds the loop.
pub(super) async fn watched<F: Future>(origin: Origin, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| at_origin(origin, || future.as_mut().poll(cx))).await
}

fn turn_to(place: Place) -> Option<Place> {
    // It is not borrowed while it is being watched in another way: that sets `WATCHED` first.
    PULSE.with_borrow(|pulse| pulse.as_ref().map(|pulse| pulse.turn_to(place)))
}

/// The loop is about to wait for events.
pub(super) fn waits() {
    if WATCHED.get() {
        turn_to(Place::WAITING);
    }
}

/// The loop has events, or comes round.
pub(super) fn goes_on() {
    if WATCHED.get() {
        turn_to(Place::TASK);
    }
}

/// The thread that looks.
struct Watcher {
    pulse: Arc<Pulse>,
    shared: Arc<Shared>,
    thread: Pid,
    threshold: Duration,
    action: Option<Action>,
}

/// While the loop has waited for so long it is not looked at.
const REST: Duration = Duration::from_millis(500);

impl Watcher {
    fn watch(self) {
        let interval = (self.threshold / 8).clamp(Duration::from_millis(1), Duration::from_millis(250));
        let mut last = self.pulse.word.load(Ordering::SeqCst);
        let mut since = Instant::now();
        let (mut nudged, mut told) = (false, false);
        while self.pause(interval) {
            let word = self.pulse.word.load(Ordering::SeqCst);
            let held = since.elapsed();
            if word != last {
                if told && self.action.is_none() {
                    let what = place_of(last).text();
                    tracing::warn!(target: GENERAL, "The loop goes on after {:.2} s: {what}", held.as_secs_f64());
                }
                (last, since, nudged, told) = (word, Instant::now(), false, false);
            } else if place_of(word) == Place::WAITING {
                if held >= REST && !self.rest(word) {
                    return;
                }
            } else if held >= self.threshold && !told {
                told = true;
                self.tell(place_of(word), held);
            } else if held >= self.threshold / 2 && !nudged {
                nudged = true;
                self.shared.wake.notify_one();
            }
        }
    }

    fn tell(&self, place: Place, held: Duration) {
        let blocked = Blocked { what: place.text(), held, state: state_of(self.thread) };
        match &self.action {
            Some(action) => action(&blocked),
            None => tracing::warn!(target: GENERAL, "{blocked}"),
        }
    }

    /// False at the end.
    fn pause(&self, interval: Duration) -> bool {
        let waited = self.pulse.changed.wait_timeout_while(self.pulse.lock(), interval, |c| !c.ended);
        !waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// Sleeps until the loop is at something else than this; false at the end.
    fn rest(&self, word: u64) -> bool {
        self.pulse.asleep.store(true, Ordering::SeqCst);
        // Whoever turns after this looks whether we are asleep.
        if self.pulse.word.load(Ordering::SeqCst) != word {
            self.pulse.asleep.store(false, Ordering::SeqCst);
            return true;
        }
        let waited = self.pulse.changed.wait_while(self.pulse.lock(), |c| !c.ended && !c.woken);
        let mut control = waited.unwrap_or_else(PoisonError::into_inner);
        control.woken = false;
        !control.ended
    }
}

/// What a thread of this process is at.
fn state_of(thread: Pid) -> &'static str {
    let path = format!("/proc/self/task/{}/stat", thread.as_raw_nonzero());
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    // The name before it may hold anything.
    match stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
        Some('R') => "computes",
        Some('S' | 'D') => "waits",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// Runs the loop until something that blocks until it is told of has been told of.
    fn told(block: impl FnOnce(&IoLoop, Box<dyn FnOnce()>)) -> Blocked {
        let io_loop = IoLoop::new().unwrap();
        let (tell, may_go) = mpsc::channel();
        io_loop.set_blocking_signal_threshold(Duration::from_millis(5), move |blocked| {
            // What is slow on a busy machine is no concern here.
            if blocked.what != "a task" {
                let _ = tell.send(blocked.clone());
            }
        });
        let (keep, kept) = mpsc::channel();
        let blocks = Box::new(move || {
            keep.send(may_go.recv_timeout(LONG).unwrap()).unwrap();
            IoLoop::current().stop();
        });
        block(&io_loop, blocks);
        io_loop.start().unwrap();
        kept.try_recv().unwrap()
    }

    #[test]
    fn what_blocks_is_named() {
        let blocked = told(|io_loop, blocks| io_loop.add_callback(blocks));
        let here = format!("a callback added at {}:{}", file!(), line!() - 1);
        assert_eq!(blocked.what, here);
        assert!(blocked.held >= Duration::from_millis(5) && blocked.held < LONG, "{blocked}");
        // It may not have come to waiting yet on a busy machine.
        assert_eq!(["waits", "computes"].contains(&blocked.state), cfg!(target_os = "linux"));

        let blocked = told(|io_loop, blocks| {
            io_loop.call_later(Duration::from_millis(1), blocks);
        });
        assert!(blocked.what.starts_with("a timeout added at "), "{blocked}");
        let blocked = told(|io_loop, blocks| io_loop.spawn_callback(async { blocks() }));
        assert!(blocked.what.starts_with("a callback added at "), "{blocked}");
        let blocked = told(|io_loop, blocks| {
            io_loop.spawn(async { at(|| Place::handler_of("/slow"), blocks) });
        });
        assert_eq!(blocked.what, "the handler of /slow");
    }

    #[test]
    fn a_loop_that_waits_is_not_held_and_one_that_wakes_is_looked_at_again() {
        let pulse = Arc::new(Pulse::default());
        let (tell, told) = mpsc::channel();
        let watcher = Watcher {
            pulse: Arc::clone(&pulse),
            shared: Shared::new(),
            thread: rustix::thread::gettid(),
            threshold: Duration::from_millis(1),
            action: Some(Arc::new(move |blocked: &Blocked| {
                let _ = tell.send(blocked.what.clone());
            })),
        };
        let thread = std::thread::spawn(move || watcher.watch());
        while !pulse.asleep.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(told.try_recv().is_err());
        pulse.turn_to(Place::TASK);
        assert_eq!(told.recv_timeout(LONG).unwrap(), "a task");
        pulse.lock().ended = true;
        pulse.changed.notify_all();
        thread.join().unwrap();
    }

    #[test]
    fn nobody_watches_unless_asked_to_or_outside_of_a_run() {
        let io_loop = IoLoop::new().unwrap();
        io_loop.set_blocking_log_threshold(Duration::from_secs(60));
        io_loop.run_sync(async { assert!(WATCHED.get()) }, None).unwrap();
        assert!(!WATCHED.get());
        io_loop.set_blocking_log_threshold(None);
        io_loop.run_sync(async { assert!(!WATCHED.get()) }, None).unwrap();
    }

    #[test]
    fn places_have_their_texts() {
        let place = Place::handler_of("/a");
        assert_eq!(Place::handler_of("/a"), place);
        assert_ne!(Place::handler_of("/b"), place);
        assert_eq!(place.text(), "the handler of /a");
        assert_eq!(Place::descriptor(7).text(), "the handler for fd 7");
        assert_eq!(Place::TASK.text(), "a task");
    }
}
