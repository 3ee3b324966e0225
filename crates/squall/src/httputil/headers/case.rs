//! `Title-Case`, in which names of fields are kept.

/// Makes a name Title-Case: upper case at the start and after each hyphen, else lower.
#[inline]
pub(super) fn title_case(name: &mut [u8]) {
    // Tables: computing the case takes twice as many instructions, for some 140 bytes of names in a browser's request.
    let mut case = &UPPER;
    for b in name {
        *b = case[usize::from(*b)];
        case = if *b == b'-' { &UPPER } else { &LOWER };
    }
}

#[cfg(debug_assertions)]
pub(super) fn is_title_case(name: &[u8]) -> bool {
    let mut wanted = name.to_vec();
    title_case(&mut wanted);
    wanted == name
}

static UPPER: [u8; 256] = in_case(true);
static LOWER: [u8; 256] = in_case(false);

const fn in_case(upper: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = if upper { (b as u8).to_ascii_uppercase() } else { (b as u8).to_ascii_lowercase() };
        b += 1;
    }
    table
}
