//! The results of several futures, as they come.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

/// Gives the results of futures in the order in which they finish.
///
/// They run while [`next`](Self::next) is awaited; spawn them where they are to run in between, too.
///
/// ```
/// # use std::time::Duration;
/// use squall::concurrent::{WaitIterator, sleep};
///
/// # squall::IoLoop::current().run_sync(async {
/// let mut results = WaitIterator::new([30, 1].map(async |ms| {
///     sleep(Duration::from_millis(ms)).await;
///     ms
/// }));
/// while let Some(ms) = results.next().await {
///     println!("number {:?} took {ms} ms", results.current_index());
/// }
/// # }, None).unwrap();
/// ```
pub struct WaitIterator<F, K = usize> {
    running: FuturesUnordered<Keyed<K, F>>,
    current: Option<K>,
}

impl<F: Future> WaitIterator<F> {
    /// Of futures that are told apart by their place, counted from 0.
    #[must_use]
    pub fn new(futures: impl IntoIterator<Item = F>) -> Self {
        Self::keyed(futures.into_iter().enumerate())
    }
}

impl<F: Future, K> WaitIterator<F, K> {
    /// Of futures with names (Tornado's keyword arguments).
    #[must_use]
    pub fn keyed(futures: impl IntoIterator<Item = (K, F)>) -> Self {
        let running = futures.into_iter().map(|(key, future)| Keyed::new(key, future)).collect();
        WaitIterator { running, current: None }
    }

    /// The next result; `None` when there are no more. Cancel safe.
    #[allow(clippy::should_implement_trait, reason = "it is Tornado's name, and it waits")]
    pub async fn next(&mut self) -> Option<F::Output> {
        match self.running.next().await {
            Some((key, output)) => {
                self.current = Some(key);
                Some(output)
            }
            None => {
                self.current = None;
                None
            }
        }
    }

    /// Whose result was given last.
    #[must_use]
    pub fn current_index(&self) -> Option<&K> {
        self.current.as_ref()
    }

    /// Whether there are no more results.
    #[must_use]
    pub fn done(&self) -> bool {
        self.running.is_empty()
    }
}

impl<F, K> fmt::Debug for WaitIterator<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitIterator").field("running", &self.running.len()).finish_non_exhaustive()
    }
}

/// A future that says whose result it gives.
pub(super) struct Keyed<K, F> {
    key: Option<K>,
    future: Pin<Box<F>>,
}

impl<K, F> Keyed<K, F> {
    pub(super) fn new(key: K, future: F) -> Self {
        Keyed { key: Some(key), future: Box::pin(future) }
    }
}

impl<K, F> Unpin for Keyed<K, F> {}

impl<K, F: Future> Future for Keyed<K, F> {
    type Output = (K, F::Output);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.future.as_mut().poll(cx).map(|output| {
            let key = self.key.take().expect("a future is not polled again when it is done");
            (key, output)
        })
    }
}
