//! One message to many sockets of one loop.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use super::socket::WebSocket;
use crate::websocket::machine::message::PreparedMessage;

/// Rooms: named groups of sockets on one loop. A handle; clones share the rooms.
///
/// ```
/// # use squall::Result;
/// # use squall::websocket::{Broadcaster, Membership, Message, WebSocket, WebSocketHandler};
/// #[derive(Clone)]
/// struct Chat {
///     rooms: Broadcaster,
///     member: Option<std::rc::Rc<Membership>>,
/// }
///
/// impl WebSocketHandler for Chat {
///     async fn open(&mut self, ws: &WebSocket) -> Result {
///         self.member = Some(self.rooms.join("lobby", ws).into());
///         Ok(())
///     }
///
///     async fn on_message(&mut self, _ws: &WebSocket, message: Message) -> Result {
///         self.rooms.broadcast("lobby", message);
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone, Default)]
pub struct Broadcaster(Rc<RefCell<HashMap<Box<str>, Room>>>);

#[derive(Default)]
struct Room {
    /// A member's place does not change; those who left leave a gap.
    members: Vec<Option<WebSocket>>,
    gaps: Vec<usize>,
}

impl Room {
    fn len(&self) -> usize {
        self.members.len() - self.gaps.len()
    }
}

impl Broadcaster {
    /// No rooms.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a socket to a room, which is made if need be, until the membership is dropped: keep it in the handler.
    #[must_use = "dropping the membership leaves the room"]
    pub fn join(&self, room: &str, socket: &WebSocket) -> Membership {
        let mut rooms = self.0.borrow_mut();
        if !rooms.contains_key(room) {
            rooms.insert(room.into(), Room::default());
        }
        let Room { members, gaps } = rooms.entry(room.into()).or_default();
        let place = gaps.pop().unwrap_or(members.len());
        match members.get_mut(place) {
            Some(gap) => *gap = Some(socket.clone()),
            None => members.push(Some(socket.clone())),
        }
        Membership { rooms: Rc::clone(&self.0), room: room.into(), place }
    }

    /// Sends a message to everyone in a room. It is framed once, and compressed once per setting; nobody is waited for.
    ///
    /// Gives how many took it. A member whose queue is full is passed over, or treated as its
    /// [`WhenFull`](crate::websocket::WhenFull) says.
    pub fn broadcast(&self, room: &str, message: impl Into<PreparedMessage>) -> usize {
        self.broadcast_except(room, message, None)
    }

    /// [`broadcast`](Self::broadcast) to everyone else than `not_to`.
    pub fn broadcast_except(
        &self,
        room: &str,
        message: impl Into<PreparedMessage>,
        not_to: Option<&WebSocket>,
    ) -> usize {
        let message = message.into();
        let mut taken = 0;
        for place in 0.. {
            // Cloned, as writing may end a connection, and that the membership.
            let member = match self.0.borrow().get(room).and_then(|room| room.members.get(place)) {
                None => break,
                Some(member) => member.clone(),
            };
            if let Some(member) = member.filter(|member| not_to.is_none_or(|other| !member.is(other)))
                && member.try_write(&message).is_ok()
            {
                taken += 1;
            }
        }
        taken
    }

    /// How many sockets are in a room.
    pub fn len(&self, room: &str) -> usize {
        self.0.borrow().get(room).map_or(0, Room::len)
    }

    /// Whether nobody is in a room.
    pub fn is_empty(&self, room: &str) -> bool {
        self.len(room) == 0
    }

    /// The rooms that somebody is in, in no particular order.
    pub fn rooms(&self) -> Vec<String> {
        self.0.borrow().keys().map(ToString::to_string).collect()
    }
}

impl fmt::Debug for Broadcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rooms = self.0.borrow();
        f.debug_map().entries(rooms.iter().map(|(name, room)| (name, room.len()))).finish()
    }
}

/// A socket's place in a room; dropping it leaves the room.
pub struct Membership {
    rooms: Rc<RefCell<HashMap<Box<str>, Room>>>,
    room: Box<str>,
    place: usize,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let socket = {
            let mut rooms = self.rooms.borrow_mut();
            let Some(room) = rooms.get_mut(&self.room) else { return };
            room.gaps.push(self.place);
            let socket = room.members[self.place].take();
            if room.len() == 0 {
                rooms.remove(&self.room);
            }
            socket
        };
        drop(socket); // outside of the borrow
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").field("room", &self.room).finish_non_exhaustive()
    }
}
