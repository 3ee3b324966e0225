//! Path arguments that cannot be taken.

include!("../stub.rs");

#[derive(Clone)]
struct Story;

#[handler]
impl RequestHandler for Story {
    async fn get(&mut self, ctx: &Context, (a, b): (u64, u64)) -> Result {
        Ok(())
    }

    async fn head(&mut self, ctx: &Context, id: &String) -> Result {
        Ok(())
    }

    async fn post(&mut self, ctx: &Context, id: Option<&mut str>) -> Result {
        Ok(())
    }

    async fn put(&mut self, ctx: &Context, id: impl std::str::FromStr) -> Result {
        Ok(())
    }

    async fn patch(&mut self, ctx: &Context, _: u64) -> Result {
        Ok(())
    }

    async fn delete(&mut self, ctx: &Context, id: u64, _id: u64) -> Result {
        Ok(())
    }

    async fn options(&mut self, ctx: &Context, ctx: u64) -> Result {
        Ok(())
    }
}

#[derive(Clone)]
struct Orders;

#[handler]
impl RequestHandler for Orders {
    async fn get(&mut self, ctx: &Context, user: u64, order: u64) -> Result {
        Ok(())
    }

    async fn post(&mut self, ctx: &Context, order: u64) -> Result {
        Ok(())
    }

    async fn delete(&mut self, ctx: &Context, customer: u64) -> Result {
        Ok(())
    }
}

fn main() {}
