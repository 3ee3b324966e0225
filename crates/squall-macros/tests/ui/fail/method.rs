//! `#[method(..)]` where it does not fit.

include!("../stub.rs");

#[derive(Clone)]
struct Story;

#[handler]
impl RequestHandler for Story {
    #[method("propfind")]
    async fn propfind(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    #[method("GET")]
    async fn read(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    #[method("TRACE")]
    async fn post(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    #[method(LOCK)]
    async fn lock(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    #[method("UN LOCK")]
    async fn unlock(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    #[method("COPY")]
    #[method("MOVE")]
    async fn copy(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    #[method("MKCOL")]
    async fn make(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    #[method("MKCOL")]
    async fn make_again(&mut self, ctx: &Context) -> Result {
        Ok(())
    }

    async fn other(&mut self, ctx: &Context) -> Result {
        Ok(())
    }
}

fn main() {}
