//! Buffers for output, so that an idle connection owns none and a busy one need not ask the allocator.

use std::cell::RefCell;

/// Room for a pipelined batch of small responses.
const FIRST: usize = 8 * 1024;
const KEPT: usize = 32;
const LARGEST: usize = 128 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn take() -> Vec<u8> {
    POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten().unwrap_or_else(|| Vec::with_capacity(FIRST))
}

/// `buffer` must be empty.
pub(crate) fn put(buffer: Vec<u8>) {
    if buffer.capacity() <= LARGEST {
        // Without a pool the thread is ending.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT {
                pool.push(buffer);
            }
        });
    }
}
