//! The options in the parentheses of an attribute.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprLit, Lit, Meta, Result, Token};

use crate::suggest;

/// What `#[handler(..)]` was given.
#[derive(Default)]
pub(crate) struct HandlerOptions {
    pub(crate) stream_body: bool,
    pub(crate) add_slash: bool,
    pub(crate) remove_slash: bool,
    pub(crate) authenticated: bool,
    pub(crate) xsrf_exempt: bool,
}

impl HandlerOptions {
    const KNOWN: &[&str] = &["stream_body", "add_slash", "remove_slash", "authenticated", "xsrf_exempt"];

    pub(crate) fn parse(options: TokenStream) -> Result<HandlerOptions> {
        let mut parsed = HandlerOptions::default();
        for (name, option) in named(options, "handler", Self::KNOWN)? {
            let flag = match name {
                "stream_body" => &mut parsed.stream_body,
                "add_slash" => &mut parsed.add_slash,
                "remove_slash" => &mut parsed.remove_slash,
                "authenticated" => &mut parsed.authenticated,
                "xsrf_exempt" => &mut parsed.xsrf_exempt,
                _ => unreachable!("`named` lets only known options through"),
            };
            let Meta::Path(_) = option else {
                return Err(Error::new_spanned(
                    option,
                    format!("`{name}` takes no value: write only `{name}`"),
                ));
            };
            *flag = true;
            if parsed.add_slash && parsed.remove_slash {
                let message = "`add_slash` and `remove_slash` undo each other: remove one of the two";
                return Err(Error::new_spanned(option, message));
            }
        }
        Ok(parsed)
    }

    /// What follows `HandlerOptions::new()`, and what asked for it. `authenticated` are the functions with that attribute,
    /// as the entries of a list.
    pub(crate) fn calls(&self, authenticated: &[TokenStream]) -> Option<(&'static str, TokenStream)> {
        let mut calls = Vec::new();
        if self.stream_body {
            calls.push(("#[handler(stream_body)]", quote!(.stream_body(true))));
        }
        if self.add_slash {
            let slash = quote!(.trailing_slash(::squall::web::TrailingSlash::Add));
            calls.push(("#[handler(add_slash)]", slash));
        }
        if self.remove_slash {
            let slash = quote!(.trailing_slash(::squall::web::TrailingSlash::Remove));
            calls.push(("#[handler(remove_slash)]", slash));
        }
        if self.authenticated {
            calls.push(("#[handler(authenticated)]", quote!(.authenticated())));
        }
        if !authenticated.is_empty() {
            let methods = quote!(::squall::web::Methods::of(&[#(#authenticated),*]));
            calls.push(("#[authenticated]", quote!(.authenticated_for(#methods))));
        }
        if self.xsrf_exempt {
            calls.push(("#[handler(xsrf_exempt)]", quote!(.xsrf_exempt())));
        }
        let (first, _) = calls.first()?;
        let first = *first;
        Some((first, calls.into_iter().map(|(_, call)| call).collect()))
    }
}

/// What `#[squall::test(..)]` was given.
#[derive(Default)]
pub(crate) struct TestOptions {
    /// In seconds.
    pub(crate) timeout: Option<f64>,
}

impl TestOptions {
    const KNOWN: &[&str] = &["timeout"];

    pub(crate) fn parse(options: TokenStream) -> Result<TestOptions> {
        let mut parsed = TestOptions::default();
        for (_, option) in named(options, "squall::test", Self::KNOWN)? {
            parsed.timeout = Some(seconds(&option)?);
        }
        Ok(parsed)
    }
}

/// Splits the options at their commas; refuses the unknown and the repeated.
fn named(options: TokenStream, attribute: &str, known: &[&'static str]) -> Result<Vec<(&'static str, Meta)>> {
    let metas = Punctuated::<Meta, Token![,]>::parse_terminated.parse2(options)?;
    let mut found: Vec<(&'static str, Meta)> = Vec::new();
    for meta in metas {
        let given = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
        let Some(&name) = known.iter().find(|&&name| name == given) else {
            let hint = suggest::closest(&given, known.iter().copied())
                .map_or_else(String::new, |name| format!("did you mean `{name}`? "));
            let known = known.join("`, `");
            let message = format!("`#[{attribute}]` has no such option: {hint}known options: `{known}`");
            return Err(Error::new(meta.path().span(), message));
        };
        if found.iter().any(|(earlier, _)| *earlier == name) {
            return Err(Error::new(meta.path().span(), format!("`{name}` is given twice: remove one")));
        }
        found.push((name, meta));
    }
    Ok(found)
}

fn seconds(option: &Meta) -> Result<f64> {
    let value = match option {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse().ok(),
            Expr::Lit(ExprLit { lit: Lit::Float(number), .. }) => number.base10_parse().ok(),
            _ => None,
        },
        _ => None,
    };
    value.filter(|&seconds: &f64| seconds > 0.0 && seconds < 1e9).ok_or_else(|| {
        Error::new_spanned(option, "`timeout` takes a number of seconds above 0: write `timeout = 30`")
    })
}
