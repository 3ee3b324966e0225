//! The fields of the last response of a thread as `h2` wants them.
//!
//! Many a response says what the one before it said: what is polled, what many ask for, what is not there. To clone its
//! fields costs a third of what it costs to convert them.

use std::cell::RefCell;

use http::HeaderMap;

use crate::httputil::HttpHeaders;
use crate::httputil::field_map::{self, InvalidField};

/// Longer heads are not remembered.
const LONGEST: usize = 1024;

thread_local! {
    static LAST: RefCell<LastHead> = const { RefCell::new(LastHead { text: Vec::new(), length: None, map: None }) };
}

struct LastHead {
    /// The fields as HTTP/1.1 would send them, which tells them apart.
    text: Vec<u8>,
    length: Option<u64>,
    /// Kept from the second time on: most of what is said once is not said again.
    map: Option<HeaderMap>,
}

/// As [`field_map::to_map`].
pub(super) fn to_map(headers: &HttpHeaders, length: Option<u64>) -> Result<HeaderMap, InvalidField> {
    let Some(text) = headers.text().filter(|text| text.len() <= LONGEST) else {
        return field_map::to_map(headers, length);
    };
    let kept = LAST.try_with(|last| last.borrow_mut().convert(text, headers, length));
    // Without the memory the thread is ending.
    kept.unwrap_or_else(|_| field_map::to_map(headers, length))
}

impl LastHead {
    fn convert(
        &mut self,
        text: &[u8],
        headers: &HttpHeaders,
        length: Option<u64>,
    ) -> Result<HeaderMap, InvalidField> {
        if self.text != text || self.length != length {
            self.text.clear();
            self.text.extend_from_slice(text);
            self.length = length;
            self.map = None;
            return field_map::to_map(headers, length);
        }
        if let Some(map) = &self.map {
            return Ok(map.clone());
        }
        let map = field_map::to_map(headers, length)?;
        self.map = Some(map.clone());
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_again_is_the_same_and_nothing_else_is() {
        let mut headers = HttpHeaders::new();
        headers.add("Server", "one").unwrap();
        headers.add("Set-Cookie", "a=1").unwrap();
        let mut other = headers.clone();
        other.set("Set-Cookie", "a=2").unwrap();
        let long: HttpHeaders = [("X", "x".repeat(LONGEST))].into_iter().collect();
        for (headers, length) in [
            (&headers, Some(3)),
            (&headers, Some(3)),
            (&headers, Some(3)),
            (&headers, Some(4)),
            (&headers, None),
            (&headers, None),
            (&other, None),
            (&headers, None),
            (&long, None),
            (&long, None),
            (&headers, None),
        ] {
            assert_eq!(to_map(headers, length).unwrap(), field_map::to_map(headers, length).unwrap());
        }
    }
}
