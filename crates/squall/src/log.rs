//! Logging: Tornado's three loggers as `tracing` targets, and its line format.

/// The target of the one line per request (Tornado's `tornado.access`).
pub const ACCESS: &str = "squall::access";

/// The target of errors raised by application code (Tornado's `tornado.application`).
pub const APPLICATION: &str = "squall::application";

/// The target of everything else: protocol errors, warnings of squall itself (Tornado's `tornado.general`).
pub const GENERAL: &str = "squall::general";
