//! The static table of HPACK (RFC 7541, Appendix A), and how a name is found in it.

use super::text::Name;

/// How many fields the static table has; the dynamic table's indices go on from there.
pub(super) const LEN: usize = FIELDS.len();

/// The index of `date`.
pub(super) const DATE: usize = 33;

/// The field of this index, counted from one.
pub(super) fn get(index: usize) -> Option<(&'static [u8], &'static [u8])> {
    let (name, value) = FIELDS.get(index.wrapping_sub(1))?;
    Some((name.as_bytes(), value.as_bytes()))
}

/// The first index of the fields of this name, whose hash is `hash`.
pub(super) fn find_name(name: Name<'_>, hash: u64) -> Option<usize> {
    let mut slot = slot(hash);
    loop {
        let index = usize::from(NAMES[slot]);
        let (known, _) = get(index)?;
        if name.is(known) {
            return Some(index);
        }
        slot = (slot + 1) % NAMES.len();
    }
}

/// The index of the field with this value among those of the name whose first index is `first`.
pub(super) fn find_value(first: usize, value: &[u8]) -> Option<usize> {
    if first > LAST_WITH_VALUE {
        return value.is_empty().then_some(first);
    }
    let fields = &FIELDS[first - 1..];
    let (name, _) = fields[0];
    let found =
        fields.iter().take_while(|field| field.0 == name).position(|field| field.1.as_bytes() == value);
    found.map(|at| first + at)
}

/// `accept-encoding: gzip, deflate`. The names behind it stand there once, with empty values.
const LAST_WITH_VALUE: usize = 16;

/// The first index of each name, at the place of its hash or behind it; zeros between.
static NAMES: [u8; 128] = {
    let mut names = [0; 128];
    let mut at = 0;
    while at < LEN {
        let name = Name::new(FIELDS[at].0.as_bytes());
        // Fields of one name stand together.
        if at == 0 || !name.is(FIELDS[at - 1].0.as_bytes()) {
            let mut slot = slot(name.hash());
            while names[slot] != 0 {
                slot = (slot + 1) % names.len();
            }
            names[slot] = at as u8 + 1;
        }
        at += 1;
    }
    names
};

const fn slot(hash: u64) -> usize {
    (hash >> 57) as usize
}

#[rustfmt::skip] // one field, one line
pub(super) static FIELDS: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str) -> Option<usize> {
        let name = Name::new(name.as_bytes());
        find_name(name, name.hash())
    }

    #[test]
    fn every_name_and_field_is_found() {
        for (at, (name, value)) in FIELDS.iter().enumerate() {
            let first = FIELDS.iter().position(|field| field.0 == *name).unwrap() + 1;
            for name in [name.to_string(), name.to_uppercase()] {
                assert_eq!(find(&name), Some(first), "{name}");
            }
            assert_eq!(find_value(first, value.as_bytes()), Some(at + 1), "{name}: {value}");
            assert_eq!(find_value(first, b"another"), None, "{name}");
            assert_eq!(get(at + 1), Some((name.as_bytes(), value.as_bytes())));
        }
        for name in
            ["", "x", "dat", "dates", "x-frame-options", ":statut", "content_type", "\u{1a}", "d\u{1}te"]
        {
            assert_eq!(find(name), None, "{name}");
        }
        assert_eq!(FIELDS[DATE - 1].0, "date");
        assert_eq!((get(0), get(LEN + 1)), (None, None));
    }
}
