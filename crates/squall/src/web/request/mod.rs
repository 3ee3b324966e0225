//! What came, as handlers ask for it.

pub(in crate::web) mod arguments;
pub(in crate::web) mod body;
pub(in crate::web) mod extensions;
#[cfg(feature = "locale")]
pub(in crate::web) mod locale;
pub(in crate::web) mod multipart;
pub(in crate::web) mod negotiate;
pub(in crate::web) mod upload;
pub(in crate::web) mod user;
