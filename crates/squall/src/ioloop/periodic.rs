//! Callbacks that run again and again, on a grid of times.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::panics::{Origin, catch_panic};
use super::watchdog::watched;
use super::{Inner, IoLoop, later};

/// Runs a callback every so often while its loop runs.
///
/// The callback runs for the first time one period after [`start`](Self::start). It never overlaps with itself: one
/// that takes longer than the period skips as many cycles as it missed and goes on at the next time on its grid. A
/// panic is logged, and the next call still comes.
///
/// It is a handle, cheap to clone; dropping it does not stop the calls.
///
/// ```
/// use std::time::Duration;
/// use squall::ioloop::{IoLoop, PeriodicCallback};
///
/// let ticks = PeriodicCallback::new(Duration::from_millis(5), || IoLoop::current().stop());
/// ticks.start();
/// IoLoop::current().start().unwrap();
/// ticks.stop();
/// ```
#[derive(Clone)]
pub struct PeriodicCallback {
    state: Rc<State>,
}

struct State {
    period: Duration,
    jitter: Cell<f64>,
    origin: Origin,
    /// `None` while it runs.
    callback: RefCell<Option<Box<dyn Tick>>>,
    running: Cell<bool>,
    /// Changes with every `start` and `stop`, so that the task of an earlier `start` knows that it is over.
    generation: Cell<u64>,
}

impl PeriodicCallback {
    /// Will call `callback` every `period`, once started.
    ///
    /// # Panics
    /// If `period` is zero: "Periodic callback must have a positive callback_time".
    #[must_use]
    #[track_caller]
    pub fn new(period: Duration, mut callback: impl FnMut() + 'static) -> Self {
        Self::new_async(period, async move || callback())
    }

    /// Will call `callback` every `period`, once started, and wait for it before the next call.
    ///
    /// [`stop`](Self::stop) lets a call that is under way run to its end.
    ///
    /// # Panics
    /// If `period` is zero: "Periodic callback must have a positive callback_time".
    #[must_use]
    #[track_caller]
    pub fn new_async(period: Duration, callback: impl AsyncFnMut() + 'static) -> Self {
        assert!(!period.is_zero(), "Periodic callback must have a positive callback_time");
        PeriodicCallback {
            state: Rc::new(State {
                period,
                jitter: Cell::new(0.0),
                origin: Origin::here("periodic callback"),
                callback: RefCell::new(Some(Box::new(callback))),
                running: Cell::new(false),
                generation: Cell::new(0),
            }),
        }
    }

    /// Draws each period at random from a window of `jitter` times the period around it, so that many callbacks of
    /// one period do not stay in step. 0.1 lets it vary by 10 % in all; the default is 0.
    ///
    /// # Panics
    /// If `jitter` is not in `0.0..=2.0`; beyond it, periods would be negative.
    #[must_use]
    #[track_caller]
    pub fn jitter(self, jitter: f64) -> Self {
        assert!((0.0..=2.0).contains(&jitter), "jitter must be between 0 and 2");
        self.state.jitter.set(jitter);
        self
    }

    /// Starts the calls, on the current loop. A callback that is started already begins a new grid of times.
    ///
    /// # Panics
    /// As [`IoLoop::current`].
    #[track_caller]
    pub fn start(&self) {
        let io_loop = IoLoop::current();
        self.state.running.set(true);
        let generation = self.state.next_generation();
        let reporter = Rc::downgrade(&io_loop.inner);
        let ending = Ending { state: self.state.clone(), generation };
        io_loop.spawn(ending.run(reporter));
    }

    /// Stops the calls; one that is under way runs to its end.
    pub fn stop(&self) {
        self.state.running.set(false);
        self.state.next_generation();
    }

    /// Whether it was started, and neither stopped nor its loop closed since.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state.running.get()
    }

    /// The period without jitter (Tornado's `callback_time`).
    #[must_use]
    #[doc(alias = "callback_time")]
    pub fn period(&self) -> Duration {
        self.state.period
    }
}

impl fmt::Debug for PeriodicCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeriodicCallback")
            .field("period", &self.state.period)
            .field("running", &self.is_running())
            .finish_non_exhaustive()
    }
}

/// An `AsyncFnMut()` behind a pointer, which the trait of that name cannot be.
trait Tick {
    fn tick(&mut self) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

impl<F: AsyncFnMut()> Tick for F {
    fn tick(&mut self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(self())
    }
}

impl State {
    fn next_generation(&self) -> u64 {
        let generation = self.generation.get() + 1;
        self.generation.set(generation);
        generation
    }

    async fn run(&self, generation: u64, reporter: Weak<Inner>) {
        let origin = Instant::now();
        let mut next = Duration::ZERO;
        loop {
            let period = jittered(self.period, self.jitter.get(), random);
            next = update_next(next, origin.elapsed(), period);
            tokio::time::sleep_until(later(origin.into(), next)).await;
            if self.generation.get() != generation {
                return;
            }
            // Still out after a quick stop and start: the call of the earlier start is not over; skip this one.
            let Some(callback) = self.callback.take() else { continue };
            let mut borrowed = Borrowed { state: self, callback: Some(callback) };
            let result = catch_panic(watched(self.origin, borrowed.tick())).await;
            drop(borrowed);
            if let Err(payload) = result
                && let Some(inner) = reporter.upgrade()
            {
                inner.report_panic(&self.origin.to_string(), &*payload);
            }
            if self.generation.get() != generation {
                return;
            }
        }
    }
}

/// The end of the calls of one `start`, however it comes: a closed loop drops their task wherever it waits, and one that
/// was closed before does not even begin it.
struct Ending {
    state: Rc<State>,
    generation: u64,
}

impl Ending {
    async fn run(self, reporter: Weak<Inner>) {
        self.state.run(self.generation, reporter).await;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        // Neither stopped nor started again: the loop was closed.
        if self.state.generation.get() == self.generation {
            self.state.running.set(false);
        }
    }
}

/// The callback while it runs. It is given back even if the loop is closed meanwhile, so that it can be started on another.
struct Borrowed<'a> {
    state: &'a State,
    callback: Option<Box<dyn Tick>>,
}

impl Borrowed<'_> {
    async fn tick(&mut self) {
        if let Some(callback) = &mut self.callback {
            callback.tick().await;
        }
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.state.callback.replace(self.callback.take());
    }
}

/// The time of the next call, when the last one was due at `next` and it is `now`.
///
/// It stays on the grid of the period and skips the cycles that are over. When the clock is behind `next`, because
/// it went backwards, one period is added all the same: the same time is never due twice.
fn update_next(next: Duration, now: Duration, period: Duration) -> Duration {
    let cycles = match now.checked_sub(next) {
        Some(late) => late.as_nanos() / period.as_nanos().max(1) + 1,
        None => 1,
    };
    let step = period.as_nanos().saturating_mul(cycles);
    next.saturating_add(Duration::from_nanos(u64::try_from(step).unwrap_or(u64::MAX)))
}

/// A period out of the window of `jitter * period` around it, where `random` draws from `[0, 1)`.
fn jittered(period: Duration, jitter: f64, random: impl FnOnce() -> f64) -> Duration {
    if jitter == 0.0 {
        return period;
    }
    let seconds = period.as_secs_f64() * (1.0 + jitter * (random() - 0.5));
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// From the system, so that forked processes do not draw the same numbers.
fn random() -> f64 {
    let mut bytes = [0; 4];
    // 0.5 is no jitter, when the system has no randomness to give.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(4) => f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        _ => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(10);

    /// The times of the calls that take so many seconds each; a negative one is a clock set back meanwhile.
    fn simulate(durations: &[i64], mut period: impl FnMut() -> Duration) -> Vec<f64> {
        let mut next = Duration::from_secs(1000);
        let mut now = next;
        let mut calls = Vec::new();
        for seconds in durations {
            next = update_next(next, now, period());
            calls.push(next.as_secs_f64());
            let took = Duration::from_secs(seconds.unsigned_abs());
            now = if *seconds < 0 { next - took } else { next + took };
        }
        calls
    }

    #[test]
    fn calls_that_take_no_time_are_one_period_apart() {
        assert_eq!(simulate(&[0; 5], || PERIOD), [1010., 1020., 1030., 1040., 1050.]);
    }

    #[test]
    fn a_call_that_takes_longer_than_the_period_skips_whole_cycles() {
        let calls = simulate(&[9, 9, 10, 11, 20, 20, 35, 35, 0, 0, 0], || PERIOD);
        let expected = [1010., 1020., 1030., 1050., 1070., 1100., 1130., 1170., 1210., 1220., 1230.];
        assert_eq!(calls, expected);
    }

    #[test]
    fn a_clock_that_goes_backwards_is_ignored() {
        assert_eq!(simulate(&[-2, -1, -3, -2, 0], || PERIOD), [1010., 1020., 1030., 1040., 1050.]);
        assert_eq!(simulate(&[-100, 0, 0], || PERIOD), [1010., 1020., 1030.]);
    }

    #[test]
    fn jitter_moves_a_call_within_its_window() {
        let mut random = [0.5, 1.0, 0.0, 0.75].into_iter();
        let calls = simulate(&[0; 4], || jittered(PERIOD, 0.5, || random.next().unwrap()));
        assert_eq!(calls, [1010., 1022.5, 1030., 1041.25]);
    }

    #[test]
    fn random_numbers_differ_and_stay_below_one() {
        let numbers: Vec<f64> = (0..64).map(|_| random()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)), "{numbers:?}");
        assert!(numbers.iter().any(|n| *n != numbers[0]), "{numbers:?}");
    }

    #[test]
    #[should_panic(expected = "Periodic callback must have a positive callback_time")]
    fn a_period_of_zero_is_refused() {
        let _ = PeriodicCallback::new(Duration::ZERO, || ());
    }
}
