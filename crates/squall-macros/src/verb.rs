//! One verb of a handler: its signature is checked, its path arguments become `let` statements.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, FnArg, GenericArgument, ImplItem, ImplItemFn, Meta, Pat, PatIdent, PatType,
    PathArguments, Result, ReturnType, Signature, Stmt, Type, parse_quote, parse_quote_spanned,
};

/// A path argument: the name of its group, and where it was written.
pub(crate) struct PathArg {
    pub(crate) name: String,
    pub(crate) span: Span,
}

/// Checks the signature of `method` and rewrites it to `(&mut self, ctx: &Context)`.
pub(crate) fn convert(method: &mut ImplItemFn) -> Result<Vec<PathArg>> {
    check_function(&method.sig)?;
    let takes_args = method.sig.inputs.len() > 2;
    let (ctx, own) = context_name(&mut method.sig, takes_args)?;
    let mut args: Vec<PathArg> = Vec::new();
    let mut statements: Vec<Stmt> = Vec::new();
    for input in method.sig.inputs.iter().skip(2) {
        let FnArg::Typed(input) = input else { continue };
        let pattern = plain_name(input)?;
        let bound = pattern.ident.unraw().to_string();
        let name = bound.strip_prefix('_').filter(|rest| !rest.is_empty()).unwrap_or(&bound).to_owned();
        if pattern.ident == ctx
            || own.as_ref() == Some(&pattern.ident)
            || args.iter().any(|arg| arg.name == name)
        {
            return Err(Error::new(pattern.span(), format!("`{name}` is taken twice: give it another name")));
        }
        statements.push(binding(input, pattern, &ctx, &name)?);
        args.push(PathArg { name, span: pattern.ident.span() });
    }
    if !args.is_empty() {
        method.sig.inputs = std::mem::take(&mut method.sig.inputs).into_iter().take(2).collect();
        statements.append(&mut method.block.stmts);
        method.block.stmts = statements;
    }
    Ok(args)
}

fn check_function(sig: &Signature) -> Result<()> {
    let name = &sig.ident;
    if sig.asyncness.is_none() {
        let message = format!("`{name}` must be async: write `async fn {name}`");
        return Err(Error::new_spanned(sig.fn_token, message));
    }
    if !sig.generics.params.is_empty() || sig.generics.where_clause.is_some() {
        let span = sig.generics.params.first().map_or_else(|| name.span(), Spanned::span);
        let message = format!(
            "`{name}` cannot be generic, since the server calls it by its route: \
             move the parameter to the `impl` or use a concrete type"
        );
        return Err(Error::new(span, message));
    }
    let receiver = sig.receiver();
    if !receiver.is_some_and(|receiver| receiver.reference.is_some() && receiver.mutability.is_some()) {
        let message = format!("`{name}` must take `&mut self` first: `{}`", shape(name));
        return Err(match receiver {
            Some(receiver) => Error::new_spanned(receiver, message),
            None => Error::new(name.span(), message),
        });
    }
    if matches!(sig.output, ReturnType::Default) {
        let message = format!("`{name}` must return a `Result`: `{}`", shape(name));
        return Err(Error::new(name.span(), message));
    }
    Ok(())
}

fn shape(name: &Ident) -> String {
    format!("async fn {name}(&mut self, ctx: &Context) -> Result")
}

/// What the context is called. When path arguments are read from one that the user calls `_` or `_ctx`, it gets another name
/// for that, and the second is the user's.
fn context_name(sig: &mut Signature, takes_args: bool) -> Result<(Ident, Option<Ident>)> {
    let message =
        format!("`{}` must take `ctx: &Context` after `&mut self`: `{}`", sig.ident, shape(&sig.ident));
    let Some(FnArg::Typed(context)) = sig.inputs.get_mut(1) else {
        return Err(Error::new(sig.ident.span(), message));
    };
    let shared_path = matches!(&*context.ty, Type::Reference(reference)
        if reference.mutability.is_none() && matches!(&*reference.elem, Type::Path(_)) && !is_str(&reference.elem));
    if !shared_path {
        return Err(Error::new_spanned(context, message));
    }
    let fresh = Ident::new("__squall_ctx", Span::mixed_site());
    match &*context.pat {
        Pat::Ident(pattern @ PatIdent { ident, by_ref: None, subpat: None, .. }) => {
            let own = ident.clone();
            if !takes_args || !own.to_string().starts_with('_') {
                return Ok((own, None));
            }
            context.pat = parse_quote!(#fresh @ #pattern);
            Ok((fresh, Some(own)))
        }
        Pat::Wild(wild) => {
            let attrs = &wild.attrs;
            context.pat = parse_quote_spanned!(wild.span()=> #(#attrs)* #fresh);
            Ok((fresh, None))
        }
        other => Err(Error::new_spanned(other, message)),
    }
}

fn plain_name(input: &PatType) -> Result<&PatIdent> {
    match &*input.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => Ok(pattern),
        Pat::Wild(wild) => Err(Error::new(
            wild.span(),
            "a path argument needs the name of its group: write `_name` when its value is not used",
        )),
        other => Err(Error::new_spanned(
            other,
            "a path argument is one name and a type, `id: u64`: take the pattern apart in the body",
        )),
    }
}

/// `let id: u64 = ctx.path_arg("id")?;`, with the span of the type, where rustc then reports what it lacks.
fn binding(input: &PatType, pattern: &PatIdent, ctx: &Ident, name: &str) -> Result<Stmt> {
    let (attrs, ty) = (&input.attrs, &*input.ty);
    let (value, optional) = match option_of(ty) {
        Some(value) => (value, true),
        None => (ty, false),
    };
    let text = check_type(value)?;
    let function = match (optional, text) {
        (false, false) => format_ident!("path_arg"),
        (false, true) => format_ident!("path_arg_str"),
        (true, false) => format_ident!("path_arg_opt"),
        (true, true) => format_ident!("path_arg_opt_str"),
    };
    // Errors are reported at the type, but lints see that nobody wrote this.
    let span = generated(ty.span());
    let function = Ident::new(&function.to_string(), span);
    let value = quote_spanned!(span=> #ctx.#function(#name)?);
    Ok(parse_quote_spanned!(span=> #(#attrs)* let #pattern: #ty = #value;))
}

/// Whether the type is `&str`; other references and `impl Trait` are refused.
fn check_type(ty: &Type) -> Result<bool> {
    match ty {
        Type::Reference(reference) if reference.mutability.is_none() && is_str(&reference.elem) => Ok(true),
        Type::Reference(_) => Err(Error::new_spanned(
            ty,
            "a path argument is taken by value or as `&str`: the only text to refer to is that of the path",
        )),
        Type::ImplTrait(_) | Type::Infer(_) => Err(Error::new_spanned(
            ty,
            "a path argument needs a concrete type that implements `FromStr`, such as `u64` or `String`",
        )),
        _ => Ok(false),
    }
}

/// The place of `span` for what the macro writes there: lints of what users write do not apply.
pub(crate) fn generated(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}

fn is_str(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.qself.is_none() && path.path.is_ident("str"))
}

/// The `T` of an `Option<T>`, however its path is written.
fn option_of(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(value) if segment.ident == "Option" && arguments.args.len() == 1 => Some(value),
        _ => None,
    }
}

/// Removes `#[authenticated]` from the function, and says whether it was there.
pub(crate) fn take_authenticated(method: &mut ImplItemFn) -> Result<bool> {
    let Some(at) = method.attrs.iter().position(is_authenticated) else { return Ok(false) };
    let attribute = method.attrs.remove(at);
    match (&attribute.meta, method.attrs.iter().find(|attr| is_authenticated(attr))) {
        (_, Some(again)) => Err(Error::new_spanned(again, "`#[authenticated]` is given twice: remove one")),
        (Meta::Path(_), None) => Ok(true),
        (_, None) => Err(Error::new_spanned(
            attribute,
            "`#[authenticated]` takes no value: write only `#[authenticated]`",
        )),
    }
}

pub(crate) fn is_authenticated(attr: &Attribute) -> bool {
    attr.path().is_ident("authenticated")
}

/// The `#[cfg(..)]` attributes, to be repeated wherever the method is mentioned.
pub(crate) fn cfg_attributes(method: &ImplItemFn) -> Vec<Cfg> {
    let cfg = |attr: &Attribute| match &attr.meta {
        Meta::List(list) if list.path.is_ident("cfg") => Some(list.tokens.clone()),
        _ => None,
    };
    method.attrs.iter().filter_map(cfg).map(|predicate| Cfg { predicate }).collect()
}

/// A `#[cfg(..)]`.
pub(crate) struct Cfg {
    /// What stands in its parentheses.
    pub(crate) predicate: TokenStream,
}

impl ToTokens for Cfg {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let predicate = &self.predicate;
        tokens.extend(quote!(#[cfg(#predicate)]));
    }
}

/// `PATH_ARGS` of the methods of a block, each with its `#[cfg(..)]`s: every name once, and only while one of the methods
/// that take it is there.
pub(crate) fn path_args_constant(methods: &[(&[Cfg], &[PathArg])]) -> ImplItem {
    let mut names: Vec<&str> = Vec::new();
    for arg in methods.iter().flat_map(|(_, args)| *args) {
        if !names.contains(&arg.name.as_str()) {
            names.push(&arg.name);
        }
    }
    let entries = names.into_iter().map(|name| {
        let mut conditions = Vec::new();
        for (cfg, _) in methods.iter().filter(|(_, args)| args.iter().any(|arg| arg.name == name)) {
            if cfg.is_empty() {
                return quote!(#name);
            }
            let predicates = cfg.iter().map(|cfg| &cfg.predicate);
            conditions.push(quote!(all(#(#predicates),*)));
        }
        quote!(#[cfg(any(#(#conditions),*))] #name)
    });
    parse_quote!(const PATH_ARGS: &'static [&'static str] = &[#(#entries),*];)
}
