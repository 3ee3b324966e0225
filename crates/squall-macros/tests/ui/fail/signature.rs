//! Verbs whose signature does not fit.

include!("../stub.rs");

#[derive(Clone)]
struct Story;

#[handler]
impl RequestHandler for Story {
    fn get(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    async fn head(ctx: &Context) -> Result {
        Ok(())
    }

    async fn post(&self, ctx: &Context) -> Result {
        Ok(())
    }

    async fn put(&mut self) -> Result {
        Ok(())
    }

    async fn patch(&mut self, id: u64) -> Result {
        Ok(())
    }

    async fn delete<T>(&mut self, ctx: &Context, id: T) -> Result {
        Ok(())
    }

    async fn options(&mut self, ctx: &Context) {}

    #[method("LOCK")]
    async fn lock(&mut self, ctx: &mut Context) -> Result {
        Ok(())
    }
}

fn main() {}
