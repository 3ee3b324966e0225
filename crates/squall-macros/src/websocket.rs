//! `#[handler]` on an `impl WebSocketHandler`: the path arguments of `prepare`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ImplItem, ItemImpl, Result};

use crate::suggest;
use crate::verb;

/// The methods of the trait; to be kept in step with `squall::WebSocketHandler`.
const METHODS: &[&str] = &[
    "prepare",
    "check_origin",
    "select_subprotocol",
    "compression_options",
    "options",
    "open",
    "on_message",
    "on_ping",
    "on_pong",
    "on_close",
];

pub(crate) fn expand(options: TokenStream, mut block: ItemImpl) -> Result<TokenStream> {
    if !options.is_empty() {
        let message =
            "the options of `#[handler]` are those of a `RequestHandler`: a `WebSocketHandler` has none";
        return Err(Error::new_spanned(options, message));
    }
    let mut prepares = Vec::new();
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        let name = method.sig.ident.to_string();
        if !METHODS.contains(&name.as_str()) {
            return Err(Error::new(method.sig.ident.span(), unknown_method(&name)));
        }
        if name == "prepare" {
            let cfg = verb::cfg_attributes(method);
            prepares.push((cfg, verb::convert(method)?));
        }
    }
    let written =
        |item: &ImplItem| matches!(item, ImplItem::Const(constant) if constant.ident == "PATH_ARGS");
    if !block.items.iter().any(written) {
        let prepares: Vec<_> = prepares.iter().map(|(cfg, args)| (&cfg[..], &args[..])).collect();
        block.items.insert(0, verb::path_args_constant(&prepares));
    }
    Ok(quote!(#block))
}

fn unknown_method(name: &str) -> String {
    match suggest::closest(name, METHODS.iter().copied()) {
        Some(known) => format!("`{name}` is no method of `WebSocketHandler`: did you mean `{known}`?"),
        None => format!(
            "`{name}` is no method of `WebSocketHandler`: move a function of your own to an `impl` of the type"
        ),
    }
}
