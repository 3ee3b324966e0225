//! Functions that the trait does not have.

include!("../stub.rs");

#[derive(Clone)]
struct Story;

#[handler]
impl RequestHandler for Story {
    async fn gte(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    async fn POST(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    async fn perpare(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    async fn load_story(&self) -> Result<u64> {
        Ok(1)
    }

    async fn put(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    async fn put(&mut self, ctx: &Context) -> Result {
        Ok(())
    }
}

fn main() {}
