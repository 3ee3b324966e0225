//! Options that `#[handler]` does not have.

include!("../stub.rs");

#[derive(Clone)]
struct Story;

#[handler(stream_bodi)]
impl RequestHandler for Story {}

#[handler(STREAM_BODY)]
impl RequestHandler for Story {}

#[handler(load)]
impl RequestHandler for Story {}

#[handler(add_slash, remove_slash)]
impl RequestHandler for Story {}

#[handler(add_slash)]
impl RequestHandler for Story {
    const OPTIONS: web::HandlerOptions = web::HandlerOptions::new();
}

#[handler(stream_body = true)]
impl RequestHandler for Story {}

#[handler(stream_body, stream_body)]
impl RequestHandler for Story {}

#[handler(stream_body)]
impl RequestHandler for Story {
    const OPTIONS: web::HandlerOptions = web::HandlerOptions::new();
}

#[handler]
impl RequestHandler for Story {
    const OPTIONS: web::HandlerOptions = web::HandlerOptions::new();

    #[authenticated]
    async fn get(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }
}

#[handler(authenticated)]
impl RequestHandler for Story {
    #[authenticated]
    async fn get(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }
}

#[handler]
impl RequestHandler for Story {
    #[authenticated("admin")]
    async fn get(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }

    #[authenticated]
    async fn prepare(&mut self, _ctx: &Context) -> Result {
        Ok(())
    }
}

fn main() {}
