//! The arguments of the query, of the form and of both, asked for in each way.

use squall::testing::serve;
use squall::web::any;
use squall::{Application, Context, Result};

fn told<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.map_or_else(|error| error.to_string(), |value| format!("{value:?}"))
}

/// Every suffix of one source, for the argument `n`.
fn all(ctx: &Context, source: &str) -> [String; 5] {
    match source {
        "query" => [
            told(ctx.query_argument("n")),
            told(ctx.query_argument_or("n", "none")),
            told(ctx.query_argument_opt("n")),
            told(ctx.query_argument_as::<u8>("n")),
            told(ctx.query_arguments("n")),
        ],
        "body" => [
            told(ctx.body_argument("n")),
            told(ctx.body_argument_or("n", "none")),
            told(ctx.body_argument_opt("n")),
            told(ctx.body_argument_as::<u8>("n")),
            told(ctx.body_arguments("n")),
        ],
        _ => [
            told(ctx.argument("n")),
            told(ctx.argument_or("n", "none")),
            told(ctx.argument_opt("n")),
            told(ctx.argument_as::<u8>("n")),
            told(ctx.arguments("n")),
        ],
    }
}

#[squall::test]
async fn every_source_has_the_same_suffixes() {
    let app = serve(Application::new([any("/{source}", async |ctx: &Context| {
        ctx.write_json(&all(ctx, ctx.path_arg_str("source")?))
    })]));
    let missing = "HTTP 400: Bad Request (Missing argument n)";
    let invalid = "HTTP 400: Bad Request (Invalid argument n)";
    for (source, query, body, expected) in [
        ("both", "?n=1&n=2", "n=+3", ["\"3\"", "\"3\"", "Some(\"3\")", "3", "[\"1\", \"2\", \"3\"]"]),
        ("query", "?n=1&n=2", "n=+3", ["\"2\"", "\"2\"", "Some(\"2\")", "2", "[\"1\", \"2\"]"]),
        ("body", "?n=1&n=2", "n=+3", ["\"3\"", "\"3\"", "Some(\"3\")", "3", "[\"3\"]"]),
        ("both", "", "", [missing, "\"none\"", "None", missing, "[]"]),
        ("query", "", "n=3", [missing, "\"none\"", "None", missing, "[]"]),
        ("body", "?n=1", "", [missing, "\"none\"", "None", missing, "[]"]),
        ("both", "?n=256", "", ["\"256\"", "\"256\"", "Some(\"256\")", invalid, "[\"256\"]"]),
        ("query", "?n=x", "", ["\"x\"", "\"x\"", "Some(\"x\")", invalid, "[\"x\"]"]),
        ("body", "", "n=-1", ["\"-1\"", "\"-1\"", "Some(\"-1\")", invalid, "[\"-1\"]"]),
    ] {
        let request = app.post(&format!("/{source}{query}"));
        let answer = request.header("Content-Type", "application/x-www-form-urlencoded").body(body).await;
        assert_eq!(answer.json::<Vec<String>>(), expected, "{source} {query} {body}");
    }
}
