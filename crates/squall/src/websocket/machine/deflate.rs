//! Compressing and decompressing messages (RFC 7692 §7.2).

use std::cell::{Cell, RefCell};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::frame::Failure;

/// What the sender leaves out and the receiver puts back: an empty stored block (§7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How one direction of a connection compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::websocket) struct DeflateSetting {
    /// 0 to 9.
    pub(in crate::websocket) level: u8,
    /// 9 to 15: the window is 2 to the power of it. (zlib cannot compress with 8.)
    pub(in crate::websocket) window_bits: u8,
}

impl DeflateSetting {
    fn compressor(self) -> Compress {
        let level = Compression::new(u32::from(self.level.min(9)));
        Compress::new_with_window_bits(level, false, self.window_bits.clamp(9, 15))
    }
}

/// Memory promised to contexts that are kept from message to message: all of this thread's sockets share one account, and
/// it is charged when context takeover is agreed on, which cannot be taken back.
#[derive(Debug)]
struct Lease(usize);

thread_local! {
    static LENT: Cell<usize> = const { Cell::new(0) };
}

impl Lease {
    fn new(bytes: usize) -> Self {
        LENT.set(LENT.get() + bytes);
        Self(bytes)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Without an account the thread is ending.
        let _ = LENT.try_with(|lent| lent.set(lent.get() - self.0));
    }
}

/// How many bytes are promised to contexts of this thread.
pub(in crate::websocket) fn context_memory() -> usize {
    LENT.get()
}

/// What a compressor takes with a window of 2 to the power of `bits`: the window twice and the chains through it, the hash
/// table and the pending output. Measured: 272 KiB with 15 bits.
pub(in crate::websocket) const fn compressor_memory(bits: u8) -> usize {
    (4 << bits) + 144 * 1024
}

/// What a decompressor takes: its window and its tables. Measured: 56 KiB with 15 bits.
pub(in crate::websocket) const fn decompressor_memory(bits: u8) -> usize {
    (1 << bits) + 24 * 1024
}

/// Compresses the messages of one direction.
///
/// Without context takeover it owns nothing between messages: the compressor, some 200 KB, comes from a pool.
pub(in crate::websocket) struct Deflater {
    setting: DeflateSetting,
    /// There if a context may be kept.
    lease: Option<Lease>,
    /// Messages of fewer bytes are left as they are.
    pub(in crate::websocket) threshold: usize,
    /// With context takeover, once a message has been compressed.
    context: Option<Box<Compress>>,
    /// Since the last [`rest`](Self::rest).
    used: bool,
}

impl Deflater {
    pub(in crate::websocket) fn new(setting: DeflateSetting, keep_context: bool, threshold: usize) -> Self {
        let lease = keep_context.then(|| Lease::new(compressor_memory(setting.window_bits)));
        Self { setting, lease, threshold, context: None, used: false }
    }

    pub(in crate::websocket) fn setting(&self) -> DeflateSetting {
        self.setting
    }

    /// Appends `message`, compressed, to `out`.
    pub(in crate::websocket) fn deflate(&mut self, message: &[u8], out: &mut Vec<u8>) {
        self.used = true;
        if self.lease.is_some() {
            let context = self.context.get_or_insert_with(|| Box::new(self.setting.compressor()));
            deflate_with(context, message, out);
        } else {
            Self::alone(self.setting, message, out);
        }
    }

    /// Appends part of a message, compressed, to `out`; until the last part nothing else may be compressed with this.
    /// What comes of a part may come with a later one. `alone` is that of this message.
    pub(in crate::websocket) fn deflate_part(
        &mut self,
        alone: &mut Alone,
        part: &[u8],
        is_last: bool,
        out: &mut Vec<u8>,
    ) {
        self.used = true;
        let compressor = match self.lease {
            Some(_) => self.context.get_or_insert_with(|| Box::new(self.setting.compressor())),
            None => alone.compressor(self.setting),
        };
        deflate_part_with(compressor, part, is_last, out);
    }

    /// Called now and then: gives back the memory of a context that has not been used since the last time. What is sent
    /// next refers to nothing, which is always allowed.
    pub(in crate::websocket) fn rest(&mut self) {
        if !std::mem::take(&mut self.used) {
            self.context = None;
        }
    }

    /// Forgets earlier messages: a message was sent that this did not compress, so that what the peer's window holds is
    /// no longer what ours does.
    pub(in crate::websocket) fn forget(&mut self) {
        if let Some(context) = &mut self.context {
            context.reset();
        }
    }

    /// Compresses a message that refers to no other.
    pub(in crate::websocket) fn alone(setting: DeflateSetting, message: &[u8], out: &mut Vec<u8>) {
        deflate_with(Alone::default().compressor(setting), message, out);
    }
}

/// The compressor of one message that refers to no other: from a pool, and back to it when this is dropped.
#[derive(Default)]
pub(in crate::websocket) struct Alone(Option<(DeflateSetting, Box<Compress>)>);

impl Alone {
    fn compressor(&mut self, setting: DeflateSetting) -> &mut Compress {
        &mut self.0.get_or_insert_with(|| (setting, pooled_compressor(setting))).1
    }

    /// [`Deflater::alone`] for part of a message.
    pub(in crate::websocket) fn deflate_part(
        &mut self,
        setting: DeflateSetting,
        part: &[u8],
        is_last: bool,
        out: &mut Vec<u8>,
    ) {
        deflate_part_with(self.compressor(setting), part, is_last, out);
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let Some((setting, mut compressor)) = self.0.take() else { return };
        compressor.reset();
        // Without a pool the thread is ending.
        let _ = COMPRESSORS.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT {
                pool.push((setting, compressor));
            }
        });
    }
}

fn pooled_compressor(setting: DeflateSetting) -> Box<Compress> {
    let pooled = COMPRESSORS.with_borrow_mut(|pool| {
        let at = pool.iter().position(|(of, _)| *of == setting)?;
        Some(pool.swap_remove(at).1)
    });
    pooled.unwrap_or_else(|| Box::new(setting.compressor()))
}

/// Codecs kept for messages without context.
const KEPT: usize = 4;

thread_local! {
    static COMPRESSORS: RefCell<Vec<(DeflateSetting, Box<Compress>)>> = const { RefCell::new(Vec::new()) };
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    static DECOMPRESSORS: RefCell<Vec<Box<Decompress>>> = const { RefCell::new(Vec::new()) };
}

fn deflate_with(compressor: &mut Compress, message: &[u8], out: &mut Vec<u8>) {
    let (start, before) = (out.len(), compressor.total_in());
    out.reserve(message.len() + message.len() / 1000 + 32);
    loop {
        let used = (compressor.total_in() - before) as usize;
        // Out of memory is the only way to fail, and that aborts; a compressor that stops is seen by its output.
        let status = compressor.compress_vec(&message[used..], out, FlushCompress::Sync);
        let done = (compressor.total_in() - before) as usize == message.len() && out.len() < out.capacity();
        if done || status.is_err() {
            break;
        }
        out.reserve(4096);
    }
    if out[start..].ends_with(&TAIL) {
        out.truncate(out.len() - TAIL.len());
    }
    if out.len() == start {
        // An empty message (§7.2.3.6).
        out.push(0x00);
    }
}

fn deflate_part_with(compressor: &mut Compress, mut part: &[u8], is_last: bool, out: &mut Vec<u8>) {
    if is_last {
        return deflate_with(compressor, part, out);
    }
    while !part.is_empty() {
        out.reserve(part.len().max(4096));
        let before = compressor.total_in();
        if compressor.compress_vec(part, out, FlushCompress::None).is_err() {
            break;
        }
        part = &part[(compressor.total_in() - before) as usize..];
    }
}

/// Decompresses the messages of one direction.
///
/// Without context takeover it owns nothing between messages.
pub(in crate::websocket) struct Inflater {
    /// 9 to 15; a larger window than the sender's is fine.
    window_bits: u8,
    /// There if a context may be kept.
    lease: Option<Lease>,
    codec: Option<Box<Decompress>>,
}

impl Inflater {
    pub(in crate::websocket) fn new(window_bits: u8, keep_context: bool) -> Self {
        let window_bits = window_bits.clamp(9, 15);
        let lease = keep_context.then(|| Lease::new(decompressor_memory(window_bits)));
        Self { window_bits, lease, codec: None }
    }

    /// Decompresses a piece of a message onto `out`, which may grow to `limit` bytes.
    pub(in crate::websocket) fn inflate(
        &mut self,
        piece: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), Failure> {
        let (window_bits, keep_context) = (self.window_bits, self.lease.is_some());
        let codec = self.codec.get_or_insert_with(|| {
            let pooled = if keep_context { None } else { DECOMPRESSORS.with_borrow_mut(Vec::pop) };
            let bits = if keep_context { window_bits } else { 15 };
            pooled.unwrap_or_else(|| Box::new(Decompress::new_with_window_bits(false, bits)))
        });
        inflate_with(codec, piece, out, limit)
    }

    /// The message is complete.
    pub(in crate::websocket) fn finish(&mut self, out: &mut Vec<u8>, limit: usize) -> Result<(), Failure> {
        self.inflate(&TAIL, out, limit)?;
        if self.lease.is_none()
            && let Some(mut codec) = self.codec.take()
        {
            codec.reset(false);
            DECOMPRESSORS.with_borrow_mut(|pool| {
                if pool.len() < KEPT {
                    pool.push(codec);
                }
            });
        }
        Ok(())
    }
}

/// What decompressed data is gathered in at first; doubled as it fills.
const FIRST_ROOM: usize = 512;

fn inflate_with(
    codec: &mut Decompress,
    mut piece: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), Failure> {
    loop {
        if out.len() == out.capacity() {
            // One more than may be, to tell a message that fits from one that goes on.
            let most = limit.saturating_add(1).saturating_sub(out.len());
            let wanted = out.len().max(FIRST_ROOM).max(piece.len()).min(most);
            if wanted == 0 {
                return Err(TOO_BIG);
            }
            out.reserve_exact(wanted);
        }
        let (input, output) = (codec.total_in(), out.len());
        let status = codec.decompress_vec(piece, out, FlushDecompress::None);
        let used = (codec.total_in() - input) as usize;
        piece = &piece[used..];
        if out.len() > limit {
            return Err(TOO_BIG);
        }
        match status {
            // A block may be marked as the last one; what follows starts anew (§7.2.3.5).
            Ok(Status::StreamEnd) => codec.reset(false),
            Ok(Status::Ok | Status::BufError) => {
                let full = out.len() == out.capacity();
                if piece.is_empty() && !full {
                    return Ok(());
                }
                if used == 0 && out.len() == output && !full {
                    return Err(CORRUPT);
                }
            }
            Err(_) => return Err(CORRUPT),
        }
    }
}

const TOO_BIG: Failure = Failure::too_big("message too big after decompression");
const CORRUPT: Failure = Failure { code: 1007, reason: "compressed data is corrupt" };

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTING: DeflateSetting = DeflateSetting { level: 6, window_bits: 15 };

    fn inflated(inflater: &mut Inflater, data: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        inflater.inflate(data, &mut out, limit)?;
        inflater.finish(&mut out, limit)?;
        Ok(out)
    }

    #[test]
    fn the_examples_of_rfc_7692() {
        // §7.2.3.1 to 7.2.3.5
        let one_block = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let shared = [0xf2, 0x00, 0x11, 0x00, 0x00];
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
        let two_blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
        let mut keeping = Inflater::new(15, true);
        assert_eq!(inflated(&mut keeping, &one_block, 100).unwrap(), b"Hello");
        assert_eq!(inflated(&mut keeping, &shared, 100).unwrap(), b"Hello");
        let mut forgetting = Inflater::new(15, false);
        for data in [&one_block[..], &stored, &last, &two_blocks, &one_block] {
            assert_eq!(inflated(&mut forgetting, data, 100).unwrap(), b"Hello");
        }
        let mut out = Vec::new();
        Deflater::new(SETTING, true, 0).deflate(b"Hello", &mut out);
        assert_eq!(out, one_block);
        out.clear();
        Deflater::alone(SETTING, b"", &mut out);
        assert_eq!(out, [0x00]);
    }

    #[test]
    fn a_bomb_goes_off_at_the_limit() {
        let mut bomb = Vec::new();
        Deflater::alone(SETTING, &vec![0; 50_000_000], &mut bomb);
        assert!(bomb.len() < 60_000);
        let mut out = Vec::new();
        let error = Inflater::new(15, false).inflate(&bomb, &mut out, 100_000).unwrap_err();
        assert_eq!(error.code, 1009);
        assert!(out.capacity() <= 200_002, "{}", out.capacity());
        assert_eq!(inflated(&mut Inflater::new(15, false), &bomb, 50_000_000).unwrap().len(), 50_000_000);
        assert_eq!(inflated(&mut Inflater::new(15, false), &bomb, 49_999_999).unwrap_err().code, 1009);
    }

    #[test]
    fn without_a_context_nothing_is_kept() {
        let mut deflater = Deflater::new(SETTING, false, 0);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        deflater.deflate(b"the same message", &mut first);
        deflater.deflate(b"the same message", &mut second);
        assert_eq!(first, second);
        assert!(deflater.context.is_none());
    }

    #[test]
    fn a_context_that_is_not_used_is_given_back() {
        let (mut deflater, mut inflater) = (Deflater::new(SETTING, true, 0), Inflater::new(15, true));
        let mut sizes = Vec::new();
        for rests in [0, 0, 1, 2, 0] {
            (0..rests).for_each(|_| deflater.rest());
            assert_eq!(deflater.context.is_some(), !sizes.is_empty() && rests < 2);
            let mut data = Vec::new();
            deflater.deflate(b"the same message again", &mut data);
            assert_eq!(inflated(&mut inflater, &data, 100).unwrap(), b"the same message again");
            sizes.push(data.len());
        }
        assert!(
            sizes[1] < sizes[0] && sizes[2] <= sizes[1] && sizes[3] == sizes[0] && sizes[4] < sizes[3],
            "{sizes:?}"
        );
    }

    #[test]
    fn contexts_are_paid_for_as_long_as_they_live() {
        let before = context_memory();
        let deflater = Deflater::new(SETTING, true, 0);
        assert_eq!(context_memory() - before, compressor_memory(15));
        let inflater = Inflater::new(9, true);
        assert_eq!(context_memory() - before, compressor_memory(15) + decompressor_memory(9));
        let alone = (Deflater::new(SETTING, false, 0), Inflater::new(15, false));
        drop((deflater, inflater));
        assert_eq!(context_memory(), before);
        drop(alone);
    }

    proptest! {
        #[test]
        fn round_trips(
            messages in proptest::collection::vec(proptest::collection::vec(0u8..20, 0..3000), 1..6),
            keep: bool,
            level in 0u8..=9,
            window_bits in 9u8..=15,
            forget: bool,
        ) {
            let setting = DeflateSetting { level, window_bits };
            let mut deflater = Deflater::new(setting, keep, 0);
            let mut inflater = Inflater::new(window_bits, keep);
            for message in messages {
                let mut data = Vec::new();
                if forget {
                    // As when a prepared message goes out between two others.
                    Deflater::alone(setting, &message, &mut data);
                    deflater.forget();
                    prop_assert_eq!(&inflated(&mut inflater, &data, 10_000).unwrap(), &message);
                    data.clear();
                }
                deflater.deflate(&message, &mut data);
                prop_assert_eq!(inflated(&mut inflater, &data, 10_000).unwrap(), message);
            }
        }

        #[test]
        fn garbage_is_refused_or_bounded(data in proptest::collection::vec(any::<u8>(), 0..500)) {
            if let Ok(out) = inflated(&mut Inflater::new(15, false), &data, 2000) {
                prop_assert!(out.len() <= 2000);
            }
        }
    }
}
