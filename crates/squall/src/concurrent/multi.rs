//! Waiting for all of several futures.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use futures_util::stream::FuturesUnordered;

use super::wait_iterator::Keyed;
use crate::log;

/// Runs `children` at the same time and waits for all of them: their results in order, or the first error in that order.
///
/// As in Tornado a child that fails does not end the others; further errors are logged, see
/// [`quiet_exceptions`](Multi::quiet_exceptions). Dropping it drops the children.
#[doc(alias = "gen.multi")]
#[doc(alias = "multi_future")]
pub fn multi<F, T, E>(children: impl IntoIterator<Item = F>) -> Multi<F, T, E>
where
    F: Future<Output = Result<T, E>>,
    E: fmt::Display,
{
    let running: FuturesUnordered<_> =
        children.into_iter().enumerate().map(|(index, child)| Keyed::new(index, child)).collect();
    let mut outcomes = Vec::new();
    outcomes.resize_with(running.len(), || None);
    Multi { running, outcomes, quiet: Box::new(|_| false) }
}

/// As [`multi`], for children with names: a map of their results.
pub fn multi_map<K, F, T, E>(children: impl IntoIterator<Item = (K, F)>) -> MultiMap<K, F, T, E>
where
    K: Eq + Hash,
    F: Future<Output = Result<T, E>>,
    E: fmt::Display,
{
    let (keys, children): (Vec<K>, Vec<F>) = children.into_iter().unzip();
    MultiMap { keys, children: multi(children) }
}

/// The future of [`multi`].
#[must_use = "futures do nothing unless polled"]
pub struct Multi<F, T, E> {
    running: FuturesUnordered<Keyed<usize, F>>,
    outcomes: Vec<Option<Result<T, E>>>,
    quiet: Box<dyn Fn(&E) -> bool>,
}

impl<F, T, E> Multi<F, T, E> {
    /// Errors for which `quiet` says true are not logged when they are not the first.
    pub fn quiet_exceptions(mut self, quiet: impl Fn(&E) -> bool + 'static) -> Self {
        self.quiet = Box::new(quiet);
        self
    }
}

impl<F, T, E> Unpin for Multi<F, T, E> {}

impl<F, T, E> Future for Multi<F, T, E>
where
    F: Future<Output = Result<T, E>>,
    E: fmt::Display,
{
    type Output = Result<Vec<T>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        while let Some((index, outcome)) = ready!(Pin::new(&mut this.running).poll_next(cx)) {
            this.outcomes[index] = Some(outcome);
        }
        let mut results = Vec::with_capacity(this.outcomes.len());
        let mut first = None;
        for outcome in std::mem::take(&mut this.outcomes).into_iter().flatten() {
            match outcome {
                Ok(result) => results.push(result),
                Err(error) if first.is_none() => first = Some(error),
                Err(error) if (this.quiet)(&error) => {}
                Err(error) => {
                    tracing::error!(target: log::APPLICATION, "Multiple exceptions in multi: {error}");
                }
            }
        }
        Poll::Ready(first.map_or(Ok(results), Err))
    }
}

impl<F, T, E> fmt::Debug for Multi<F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multi").field("running", &self.running.len()).finish_non_exhaustive()
    }
}

/// The future of [`multi_map`].
#[must_use = "futures do nothing unless polled"]
pub struct MultiMap<K, F, T, E> {
    keys: Vec<K>,
    children: Multi<F, T, E>,
}

impl<K, F, T, E> MultiMap<K, F, T, E> {
    /// As [`Multi::quiet_exceptions`].
    pub fn quiet_exceptions(mut self, quiet: impl Fn(&E) -> bool + 'static) -> Self {
        self.children = self.children.quiet_exceptions(quiet);
        self
    }
}

impl<K, F, T, E> Unpin for MultiMap<K, F, T, E> {}

impl<K, F, T, E> Future for MultiMap<K, F, T, E>
where
    K: Eq + Hash,
    F: Future<Output = Result<T, E>>,
    E: fmt::Display,
{
    type Output = Result<HashMap<K, T>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let results = ready!(Pin::new(&mut self.children).poll(cx));
        let keys = std::mem::take(&mut self.keys);
        Poll::Ready(results.map(|results| keys.into_iter().zip(results).collect()))
    }
}

impl<K, F, T, E> fmt::Debug for MultiMap<K, F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.children.fmt(f)
    }
}
