//! `#[handler]`: what the methods of an `impl RequestHandler` imply is written into it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Error, Ident, ImplItem, ImplItemFn, Item, ItemImpl, Result, parse_quote};

use crate::extra;
use crate::options::HandlerOptions;
use crate::suggest;
use crate::verb::{self, Cfg, PathArg};
use crate::websocket;

/// Tornado's verbs: methods of the trait whose definition alone makes the handler answer to them.
pub(crate) const VERBS: &[&str] = &["get", "head", "post", "delete", "patch", "put", "options"];

/// The other methods of the trait; to be kept in step with `squall::RequestHandler`.
const HOOKS: &[&str] =
    &["prepare", "other", "data_received", "write_error", "compute_etag", "on_finish", "on_connection_close"];

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let mut block = match parse_block(item)? {
        Block::Request(block) => block,
        Block::WebSocket(block) => return websocket::expand(options, block),
    };
    let options = HandlerOptions::parse(options)?;
    let mut methods = Methods::default();
    let mut kept = Vec::new();
    for item in std::mem::take(&mut block.items) {
        match item {
            ImplItem::Fn(method) => kept.extend(methods.take(method).map(ImplItem::Fn)),
            other => kept.push(other),
        }
    }
    methods.check_path_args();
    if let Some(other) = find_method(&kept, "other").filter(|_| !methods.extra.is_empty()) {
        let message = "`#[method(..)]` generates `other`: use one of the two";
        methods.errors.push(Error::new(other.sig.ident.span(), message));
    }
    let constants = methods.constants(&kept, &options);
    if let Some(error) = combine(std::mem::take(&mut methods.errors)) {
        return Err(error);
    }
    let inherent = methods.inherent_impl(&block);
    let conditional_errors = std::mem::take(&mut methods.conditional_errors);
    block.items = constants;
    block.items.extend(kept);
    block.items.extend(methods.dispatcher());
    Ok(quote!(#block #inherent #(#conditional_errors)*))
}

/// The block that the attribute is on, by its trait.
enum Block {
    Request(ItemImpl),
    WebSocket(ItemImpl),
}

fn parse_block(item: TokenStream) -> Result<Block> {
    const EXPECTED: &str = "`#[handler]` goes on an `impl RequestHandler for YourType { .. }` block";
    let block = match syn::parse2::<Item>(item)? {
        Item::Impl(block) => block,
        other => return Err(Error::new(item_start(&other), EXPECTED)),
    };
    match &block.trait_ {
        None => {
            Err(Error::new_spanned(&block.self_ty, format!("{EXPECTED}, not on methods of the type itself")))
        }
        Some((Some(not), ..)) => Err(Error::new_spanned(not, EXPECTED)),
        Some((None, path, _)) => match path.segments.last() {
            Some(segment) if segment.ident == "RequestHandler" => Ok(Block::Request(block)),
            Some(segment) if segment.ident == "WebSocketHandler" => Ok(Block::WebSocket(block)),
            _ => Err(Error::new_spanned(path, format!("{EXPECTED}: this is another trait"))),
        },
    }
}

/// The item's first token after its attributes.
fn item_start(item: &Item) -> Span {
    let mut tokens = item.to_token_stream().into_iter();
    while let Some(token) = tokens.next() {
        if matches!(&token, proc_macro2::TokenTree::Punct(hash) if hash.as_char() == '#') {
            tokens.next();
        } else {
            return token.span();
        }
    }
    Span::call_site()
}

/// What was found among the methods of the block.
#[derive(Default)]
struct Methods {
    /// Verbs and extra methods in source order.
    answered: Vec<Answered>,
    /// The methods of `#[method(..)]`, which are none of the trait's.
    extra: Vec<ImplItemFn>,
    errors: Vec<Error>,
    /// Those of methods that are there under some configurations only: `compile_error!`s under the same ones.
    conditional_errors: Vec<TokenStream>,
}

struct Answered {
    function: Ident,
    http_method: String,
    cfg: Vec<Cfg>,
    extra: bool,
    authenticated: bool,
    path_args: Vec<PathArg>,
}

impl Methods {
    /// Returns the method if it stays in the trait's block.
    fn take(&mut self, mut method: ImplItemFn) -> Option<ImplItemFn> {
        let name = method.sig.ident.to_string();
        let in_trait = VERBS.contains(&name.as_str()) || HOOKS.contains(&name.as_str());
        if !VERBS.contains(&name.as_str())
            && !extra::is_declared(&method)
            && let Some(attribute) = method.attrs.iter().find(|attr| verb::is_authenticated(attr))
        {
            let message = "`#[authenticated]` goes on a function that answers a method, such as `get`";
            self.errors.push(Error::new_spanned(attribute, message));
        }
        let declared = match extra::take_attribute(&mut method) {
            Ok(declared) => declared,
            Err(error) => {
                self.errors.push(error);
                return None;
            }
        };
        match declared {
            Some(declared) if in_trait => {
                let message = format!(
                    "`{name}` is a method of `RequestHandler`: remove `#[method(..)]` or name the function otherwise"
                );
                self.errors.push(Error::new(declared.span(), message));
                None
            }
            Some(declared) => {
                self.answer(&mut method, declared.value(), true);
                self.extra.push(method);
                None
            }
            None if VERBS.contains(&name.as_str()) => {
                self.answer(&mut method, name.to_uppercase(), false);
                Some(method)
            }
            None if in_trait => Some(method),
            None => {
                self.errors.push(Error::new(method.sig.ident.span(), unknown_method(&name)));
                None
            }
        }
    }

    fn answer(&mut self, method: &mut ImplItemFn, http_method: String, extra: bool) {
        let function = method.sig.ident.clone();
        let cfg = verb::cfg_attributes(method);
        let authenticated = match verb::take_authenticated(method) {
            Ok(authenticated) => authenticated,
            Err(error) => return self.errors.push(error),
        };
        let twice = |earlier: &Answered| {
            earlier.http_method == http_method && (earlier.cfg.is_empty() || cfg.is_empty())
        };
        if self.answered.iter().any(twice) {
            let message = format!("{http_method} is answered twice: remove one of the two functions");
            self.errors.push(Error::new(function.span(), message));
        }
        match verb::convert(method) {
            Ok(path_args) => {
                let answered = Answered { function, http_method, cfg, extra, authenticated, path_args };
                self.answered.push(answered);
            }
            Err(error) => self.errors.push(error),
        }
    }

    /// A name must mean the same group for all verbs, since a positional group is found by its name's place.
    fn check_path_args(&mut self) {
        for (index, verb) in self.answered.iter().enumerate() {
            for (place, arg) in verb.path_args.iter().enumerate() {
                let differs = |earlier: &&Answered| {
                    earlier
                        .path_args
                        .iter()
                        .position(|other| other.name == arg.name)
                        .is_some_and(|at| at != place)
                        || earlier.path_args.get(place).is_some_and(|other| other.name != arg.name)
                };
                if let Some(earlier) = self.answered[..index].iter().find(differs) {
                    let names: Vec<&str> = earlier.path_args.iter().map(|arg| arg.name.as_str()).collect();
                    let message = format!(
                        "`{}` must take its path arguments under the names and in the order of `{}`, ({}); \
                         one whose value is not used can be written `_{}`",
                        verb.function,
                        earlier.function,
                        names.join(", "),
                        names.first().copied().unwrap_or_default(),
                    );
                    let conditions: Vec<_> =
                        verb.cfg.iter().chain(&earlier.cfg).map(|cfg| &cfg.predicate).collect();
                    if conditions.is_empty() {
                        self.errors.push(Error::new(arg.span, message));
                    } else {
                        self.conditional_errors.push(quote_spanned! {arg.span=>
                            #[cfg(all(#(#conditions),*))]
                            ::core::compile_error!(#message);
                        });
                    }
                    break;
                }
            }
        }
    }

    /// The constants that the block does not define itself.
    fn constants(&mut self, kept: &[ImplItem], options: &HandlerOptions) -> Vec<ImplItem> {
        let written = |name: &str| {
            kept.iter().find_map(|item| match item {
                ImplItem::Const(constant) if constant.ident == name => Some(constant),
                _ => None,
            })
        };
        let mut constants: Vec<ImplItem> = Vec::new();
        if written("METHODS").is_none() {
            let methods = self.answered.iter().map(|verb| {
                let (cfg, name) = (&verb.cfg, &verb.http_method);
                quote!(#(#cfg)* #name)
            });
            constants.push(parse_quote!(
                const METHODS: ::squall::web::Methods = ::squall::web::Methods::of(&[#(#methods),*]);
            ));
        }
        // A handler may answer all in `prepare`, and have no method; without the attribute that is a mistake.
        constants.push(parse_quote!(
            const HAS_ATTRIBUTE: bool = true;
        ));
        if written("PATH_ARGS").is_none() {
            let verbs: Vec<_> =
                self.answered.iter().map(|verb| (&verb.cfg[..], &verb.path_args[..])).collect();
            constants.push(verb::path_args_constant(&verbs));
        }
        let authenticated: Vec<_> = self.answered.iter().filter(|verb| verb.authenticated).collect();
        if let Some(twice) = authenticated.first().filter(|_| options.authenticated) {
            let message = "`#[handler(authenticated)]` is for all methods: remove one of the two";
            self.errors.push(Error::new(twice.function.span(), message));
        }
        let authenticated: Vec<_> = authenticated
            .into_iter()
            .map(|verb| {
                let (cfg, name) = (&verb.cfg, &verb.http_method);
                quote!(#(#cfg)* #name)
            })
            .collect();
        match (options.calls(&authenticated), written("OPTIONS")) {
            (Some((attribute, _)), Some(written)) => {
                let message = format!("`{attribute}` sets `OPTIONS` already: remove one of the two");
                self.errors.push(Error::new(written.ident.span(), message));
            }
            (Some((_, calls)), None) => constants.push(parse_quote!(
                const OPTIONS: ::squall::web::HandlerOptions = ::squall::web::HandlerOptions::new() #calls;
            )),
            (None, _) => {}
        }
        constants
    }

    /// The functions of `#[method(..)]`, which a trait's block cannot hold.
    fn inherent_impl(&self, block: &ItemImpl) -> Option<TokenStream> {
        let methods = &self.extra;
        let (generics, _, clauses) = block.generics.split_for_impl();
        let self_ty = &block.self_ty;
        let attrs = block
            .attrs
            .iter()
            .filter(|attr| ["cfg", "allow", "expect"].iter().any(|name| attr.path().is_ident(name)));
        // These functions have the shape of the trait's, whether they need it or not.
        (!methods.is_empty()).then(|| {
            quote! {
                #(#attrs)*
                #[allow(clippy::needless_pass_by_ref_mut, clippy::unused_async, clippy::unused_self)]
                impl #generics #self_ty #clauses { #(#methods)* }
            }
        })
    }

    /// `other`, which calls the functions of `#[method(..)]`.
    fn dispatcher(&self) -> Option<ImplItem> {
        let arms = self.answered.iter().filter(|verb| verb.extra).map(|verb| {
            let Answered { function, http_method, cfg, .. } = verb;
            quote!(#(#cfg)* #http_method => self.#function(ctx).await,)
        });
        (!self.extra.is_empty()).then(|| {
            parse_quote! {
                async fn other(&mut self, ctx: &::squall::Context) -> ::squall::Result {
                    match ::squall::__private::method(ctx) {
                        #(#arms)*
                        _ => ::squall::__private::method_not_allowed(ctx),
                    }
                }
            }
        })
    }
}

fn unknown_method(name: &str) -> String {
    match suggest::closest(name, VERBS.iter().chain(HOOKS).copied()) {
        Some(known) => format!("`{name}` is no method of `RequestHandler`: did you mean `{known}`?"),
        None => format!(
            "`{name}` is no method of `RequestHandler`: move a function of your own to an `impl` of the type, \
             or declare what answers another HTTP method with `#[method(\"NAME\")]`"
        ),
    }
}

fn find_method<'a>(items: &'a [ImplItem], name: &str) -> Option<&'a ImplItemFn> {
    items.iter().find_map(|item| match item {
        ImplItem::Fn(method) if method.sig.ident == name => Some(method),
        _ => None,
    })
}

/// All errors as one, so that they are reported together.
fn combine(errors: Vec<Error>) -> Option<Error> {
    errors.into_iter().reduce(|mut all, next| {
        all.combine(next);
        all
    })
}
