//! Templates in Tornado's syntax (`tornado.template`): the parts that read a template's text.

#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the rewriter to minijinja, which reads these tokens, is not written yet")
)]
mod lexer;
mod whitespace;

pub use whitespace::Whitespace;
