//! The attribute macros of squall.
