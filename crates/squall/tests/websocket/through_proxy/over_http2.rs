//! From HTTP/2 to HTTP/2.

#[path = "../cases.rs"]
#[expect(clippy::duplicate_mod, reason = "the same cases, with another `support`")]
mod cases;

mod support {
    pub(super) type Client = crate::support::Via<super::super::support::OverHttp2>;
    pub(super) use crate::support::{close, raw_frame, server_close, server_frame};
}
