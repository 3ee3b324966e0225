//! Masks, which nobody must be able to foresee (RFC 6455 §5.3).

use std::cell::RefCell;

/// So many bytes are asked of the system at a time: a call for each frame would cost more than the frame.
const BATCH: usize = 1024;

struct Batch {
    bytes: [u8; BATCH],
    used: usize,
}

thread_local! {
    static RANDOM: RefCell<Batch> = const { RefCell::new(Batch { bytes: [0; BATCH], used: BATCH }) };
}

/// A number from 0 up to 1.
pub(in crate::websocket) fn fraction() -> f64 {
    f64::from(u32::from_ne_bytes(mask())) / (f64::from(u32::MAX) + 1.0)
}

pub(in crate::websocket) fn mask() -> [u8; 4] {
    RANDOM.with_borrow_mut(|batch| {
        if batch.used == BATCH {
            getrandom::fill(&mut batch.bytes).expect("the system has random numbers");
            batch.used = 0;
        }
        let mut mask = [0; 4];
        mask.copy_from_slice(&batch.bytes[batch.used..batch.used + 4]);
        batch.used += 4;
        mask
    })
}
