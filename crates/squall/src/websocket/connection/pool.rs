//! Output buffers, so that an idle connection owns none.

use std::cell::RefCell;

const FIRST: usize = 4 * 1024;
const KEPT: usize = 32;
const LARGEST: usize = 256 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

pub(in crate::websocket) fn take() -> Vec<u8> {
    let pooled = POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
    pooled.unwrap_or_else(|| Vec::with_capacity(FIRST))
}

/// `buffer` must be empty.
pub(in crate::websocket) fn put(buffer: Vec<u8>) {
    if (1..=LARGEST).contains(&buffer.capacity()) {
        // Without a pool the thread is ending.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT {
                pool.push(buffer);
            }
        });
    }
}
