//! What `#[handler]` does not go on.

include!("../stub.rs");

#[derive(Clone)]
struct Story;

/// Not a block.
#[handler]
pub struct Page;

#[handler]
async fn get(ctx: &Context) -> Result {
    Ok(())
}

#[handler]
impl Story {
    async fn get(&mut self, ctx: &Context) -> Result {
        Ok(())
    }
}

#[handler]
impl Iterator for Story {
    async fn get(&mut self, ctx: &Context) -> Result {
        Ok(())
    }
}

fn main() {}
