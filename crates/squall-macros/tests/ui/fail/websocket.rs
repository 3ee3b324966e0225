//! WebSocket handlers.

include!("../stub.rs");

#[derive(Clone)]
struct Chat;

#[handler(add_slash)]
impl WebSocketHandler for Chat {
    async fn on_message(&mut self, message: &str) -> Result {
        Ok(())
    }
}

#[derive(Clone)]
struct Misspelt;

#[handler]
impl WebSocketHandler for Misspelt {
    async fn on_mesage(&mut self, message: &str) -> Result {
        Ok(())
    }
}

#[derive(Clone)]
struct Other;

#[handler]
impl WebSocketHandler for Other {
    async fn get(&mut self, ctx: &Context) -> Result {
        Ok(())
    }
}

#[derive(Clone)]
struct Sync;

#[handler]
impl WebSocketHandler for Sync {
    fn prepare(&mut self, ctx: &Context, room: u64) -> Result {
        Ok(())
    }

    async fn on_message(&mut self, message: &str) -> Result {
        Ok(())
    }
}

#[derive(Clone)]
struct Borrowing;

#[handler]
impl WebSocketHandler for Borrowing {
    async fn prepare(&mut self, ctx: &Context, room: &u64) -> Result {
        Ok(())
    }

    async fn on_message(&mut self, message: &str) -> Result {
        Ok(())
    }
}

fn main() {}
