//! Memory that processes share.

use std::io;
use std::ptr;
use std::sync::atomic::AtomicU64;

/// So many words, all zero, which this process shares with those that it forks later. They are never given back, and take
/// memory only where somebody has looked at them.
pub(crate) fn shared_words(count: usize) -> io::Result<&'static [AtomicU64]> {
    let too_much = || io::Error::from(io::ErrorKind::OutOfMemory);
    let bytes = count.checked_mul(size_of::<AtomicU64>()).filter(|bytes| *bytes > 0).ok_or_else(too_much)?;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at a place of the kernel's choosing, which touches no memory that exists.
    let start =
        unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping has `count` words, begins at a page and so is aligned, and is zeroed, which is a valid `AtomicU64`.
    // Nobody unmaps it, so it is there as long as the process. Whoever else sees it, in this process or another, got it by
    // this function and a fork, and so uses the same atomic words.
    Ok(unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), count) })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::shared_words;

    #[test]
    fn words_are_zero_and_keep_what_is_stored() {
        let words = shared_words(1000).unwrap();
        assert_eq!(words.len(), 1000);
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        words[999].store(7, Ordering::Relaxed);
        assert_eq!(words[999].load(Ordering::Relaxed), 7);
        assert!(shared_words(0).is_err() && shared_words(usize::MAX).is_err());
    }
}
