//! What the other side may send (RFC 9113 §5.2, §6.9): of one stream, or of all.

/// The window of what comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inflow {
    /// So much may still come. Negative when a smaller window was told while more was on its way.
    credit: i64,
    /// So much has come and was not released: nobody has taken it.
    held: i64,
}

impl Inflow {
    pub(super) fn new(credit: u32) -> Self {
        Self { credit: credit.into(), held: 0 }
    }

    /// A frame has come, of so many bytes with its padding; false when it is more than may come.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        if bytes > 0 && bytes as i64 > self.credit {
            return false;
        }
        self.credit -= bytes as i64;
        self.held += bytes as i64;
        true
    }

    /// So much of it was taken, or is not wanted.
    pub(super) fn release(&mut self, bytes: usize) {
        self.held = (self.held - bytes as i64).max(0);
    }

    /// What has come and was not released.
    pub(super) fn held(&self) -> usize {
        self.held as usize
    }

    /// The client has taken the initial window for another than it had thought.
    pub(super) fn adjust(&mut self, difference: i64) {
        self.credit += difference;
    }

    /// How much more may come so that it is `target` in all with what is held; `None` while that is not worth a frame: not half of
    /// it, since otherwise each small piece that is taken would cost one.
    pub(super) fn grant(&mut self, target: u32) -> Option<u32> {
        let room = i64::from(target) - self.held - self.credit;
        if room <= 0 || 2 * room < i64::from(target) {
            return None;
        }
        let room = room.min(super::LARGEST_INCREMENT);
        self.credit += room;
        u32::try_from(room).ok()
    }
}

#[cfg(test)]
impl Inflow {
    pub(super) fn credit(self) -> i64 {
        self.credit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_opened_again_by_halves() {
        let mut window = Inflow::new(100);
        assert_eq!(window.grant(100), None);
        assert!(window.take(60) && !window.take(41) && window.take(40) && !window.take(1));
        assert_eq!((window.held(), window.grant(100)), (100, None));
        window.release(49);
        assert_eq!(window.grant(100), None);
        window.release(1);
        assert_eq!(window.grant(100), Some(50));
        assert!(window.take(50));
        // Larger, and smaller than what is there already.
        assert_eq!(window.grant(400), Some(300));
        window.release(100);
        assert_eq!(window.grant(100), None);
        window.adjust(-400);
        assert_eq!(window.credit, -100);
        assert!(window.take(0) && !window.take(1), "frames without data may always come");
        assert_eq!(window.grant(100), Some(200));
    }
}
