//! The WebSocket servers: `/` echoes, `/room` joins the room, and what comes to `/publish` goes to everyone in it. The
//! setting `deflate` asks for permessage-deflate. Each is written as its own examples are.

pub(super) mod actix;
pub(super) mod fast;
pub(super) mod squall;
pub(super) mod tungstenite;

use super::Settings;
use crate::Result;

/// For the peers that cannot compress.
fn refuse_compression(settings: &Settings) -> Result {
    if settings.contains_key("deflate") { Err("does not compress".into()) } else { Ok(()) }
}
