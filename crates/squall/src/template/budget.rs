//! What a template may use: steps, memory and stack. A page that wants more ends with an error, never with an abort.
//!
//! The account is the thread's, so that what has no interpreter at hand, such as the comparison of two keys, can pay too, and
//! a page within a page pays from the outer one's.

use std::cell::Cell;
use std::marker::PhantomData;

use super::value::{Class, PyError};

/// Steps of a page: statements, rounds of loops, calls, and what of values is made or walked through.
pub(super) const STEPS: u64 = 20_000_000;
/// Bytes that one value may have, and about as many may be made for one step.
pub(super) const MAX_BYTES: usize = 64 << 20;
const BYTES_PER_STEP: usize = 32;
/// Calls in calls, and values in values that are looked through: Python's limit.
const MAX_LEVELS: u32 = 1_000;
/// Stack that rendering may use, from where the outermost page began: a thread of 2 MiB has room for it.
const MAX_STACK: usize = 768 << 10;

struct Account {
    /// Pages in pages.
    pages: Cell<u32>,
    levels: Cell<u32>,
    /// The address at which the stack was when the outermost page began.
    stack: Cell<usize>,
}

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
    static ACCOUNT: Account = const {
        Account { pages: Cell::new(0), levels: Cell::new(0), stack: Cell::new(0) }
    };
}

/// Lasts as long as a page is rendered.
pub(super) struct Session {
    /// A page within a page is a level deeper.
    _level: Option<Level>,
}

/// A page begins, with so many steps if it is the outermost.
///
/// # Errors
/// Python's `RecursionError` for too many pages in pages.
pub(super) fn begin(steps: u64) -> Result<Session, PyError> {
    let is_inner = ACCOUNT.with(|account| {
        let is_inner = account.pages.get() > 0;
        if !is_inner {
            LEFT.set(steps);
            account.levels.set(0);
            account.stack.set(here());
        }
        is_inner
    });
    let level = if is_inner { Some(deeper()?) } else { None };
    ACCOUNT.with(|account| account.pages.set(account.pages.get() + 1));
    Ok(Session { _level: level })
}

impl Drop for Session {
    fn drop(&mut self) {
        ACCOUNT.with(|account| {
            account.pages.set(account.pages.get() - 1);
            if account.pages.get() == 0 {
                LEFT.set(u64::MAX);
            }
        });
    }
}

/// The steps that are left.
pub(super) fn left() -> u64 {
    LEFT.get()
}

/// Pays for so many steps.
#[inline]
pub(super) fn pay(steps: u64) -> Result<(), PyError> {
    match LEFT.get().checked_sub(steps) {
        Some(left) => {
            LEFT.set(left);
            Ok(())
        }
        None => {
            LEFT.set(0);
            Err(exhausted())
        }
    }
}

/// Pays for a value of so many bytes.
pub(super) fn pay_bytes(bytes: usize) -> Result<(), PyError> {
    if bytes > MAX_BYTES {
        return Err(PyError::new(
            Class::MemoryError,
            format!("a value may have {} MiB: this would have {} bytes", MAX_BYTES >> 20, bytes),
        ));
    }
    pay((bytes / BYTES_PER_STEP) as u64)
}

/// Pays for a list of so many values.
pub(super) fn pay_items(items: usize) -> Result<(), PyError> {
    pay_bytes(items.saturating_mul(size_of::<super::value::Py>()))
}

#[cold]
pub(super) fn exhausted() -> PyError {
    PyError::fatal("the page takes too many steps: is there a loop without an end?")
}

/// Lasts as long as one is a level deeper.
pub(super) struct Level(PhantomData<*const ()>);

/// Goes a level deeper, in calls or in values.
///
/// # Errors
/// Python's `RecursionError`.
pub(super) fn deeper() -> Result<Level, PyError> {
    pay(1)?;
    ACCOUNT.with(|account| {
        let levels = account.levels.get() + 1;
        let is_inside = account.pages.get() > 0;
        if levels > MAX_LEVELS || (is_inside && account.stack.get().abs_diff(here()) > MAX_STACK) {
            return Err(PyError::new(Class::RecursionError, "maximum recursion depth exceeded".to_owned()));
        }
        account.levels.set(levels);
        Ok(Level(PhantomData))
    })
}

impl Drop for Level {
    fn drop(&mut self) {
        ACCOUNT.with(|account| account.levels.set(account.levels.get() - 1));
    }
}

/// About where the stack is.
#[inline(never)]
fn here() -> usize {
    let marker = 0_u8;
    std::ptr::from_ref(&marker).addr()
}
