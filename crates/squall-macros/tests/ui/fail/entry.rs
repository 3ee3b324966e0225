//! Functions that cannot be a main or a test.

include!("../stub.rs");

mod a {
    #[squall_macros::main]
    fn main() {}
}

mod b {
    #[squall_macros::main]
    async fn main(arguments: Vec<String>) {}
}

mod c {
    #[squall_macros::main(threads = 2)]
    async fn main() {}
}

mod d {
    #[squall_macros::main]
    struct Main;
}

#[squall_macros::test]
fn not_async() {}

#[squall_macros::test]
async fn with_parameter(port: u16) {}

#[squall_macros::test]
async fn generic<T>() {}

#[squall_macros::test(timeout = "30")]
async fn bad_timeout() {}

#[squall_macros::test(timeout = 0)]
async fn no_time() {}

#[squall_macros::test(timeot = 30)]
async fn misspelled() {}

fn main() {}
