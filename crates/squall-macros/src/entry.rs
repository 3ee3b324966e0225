//! `#[squall::main]` and `#[squall::test]`: a synchronous function around an asynchronous one.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ItemFn, Result, ReturnType};

use crate::options::TestOptions;
use crate::verb;

pub(crate) fn expand_main(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !options.is_empty() {
        return Err(Error::new_spanned(options, "`#[squall::main]` has no options"));
    }
    let function = parse(item, "squall::main")?;
    let Parts { attrs, vis, name, inner, future } = parts(&function);
    Ok(quote! {
        #(#attrs)*
        #vis fn #name() -> ::std::process::ExitCode {
            #inner
            ::squall::__private::run_main(#future)
        }
    })
}

pub(crate) fn expand_test(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let timeout = match TestOptions::parse(options)?.timeout {
        Some(seconds) => {
            quote!(::core::option::Option::Some(::core::time::Duration::from_secs_f64(#seconds)))
        }
        None => quote!(::core::option::Option::None),
    };
    let function = parse(item, "squall::test")?;
    let Parts { attrs, vis, name, inner, future } = parts(&function);
    Ok(quote! {
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis fn #name() {
            #inner
            ::squall::__private::run_test(
                ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)),
                #timeout,
                #future,
            )
        }
    })
}

fn parse(item: TokenStream, attribute: &str) -> Result<ItemFn> {
    let refuse =
        |at: &dyn ToTokens, what: &str| Err(Error::new_spanned(at, format!("`#[{attribute}]` {what}")));
    let function = match syn::parse2::<syn::Item>(item)? {
        syn::Item::Fn(function) => function,
        other => return refuse(&other, "goes on an `async fn`"),
    };
    let sig = &function.sig;
    if sig.asyncness.is_none() {
        return refuse(&sig.fn_token, &format!("needs an async function: write `async fn {}`", sig.ident));
    }
    if let Some(input) = sig.inputs.first() {
        return refuse(input, "calls the function without arguments: remove the parameters");
    }
    if let Some(parameter) = sig.generics.params.first() {
        return refuse(parameter, "cannot choose generic parameters: remove them");
    }
    Ok(function)
}

struct Parts<'a> {
    attrs: &'a [syn::Attribute],
    vis: &'a syn::Visibility,
    name: &'a syn::Ident,
    /// The function as it was written, to stand inside of the synchronous one.
    inner: TokenStream,
    /// A future of a `Result<(), squall::Error>` that calls it; the `?` lets it fail with any error.
    future: TokenStream,
}

fn parts(function: &ItemFn) -> Parts<'_> {
    let ItemFn { attrs, vis, sig, block } = function;
    let name = &sig.ident;
    let call = match &sig.output {
        ReturnType::Default => quote!(#name().await;),
        ReturnType::Type(_, output) => {
            quote_spanned!(verb::generated(output.span())=> let () = #name().await?;)
        }
    };
    let future = quote! {
        async move {
            #call
            ::core::result::Result::<(), ::squall::Error>::Ok(())
        }
    };
    // Async it must be, whether it waits or not.
    let inner = quote!(#[allow(clippy::unused_async)] #sig #block);
    Parts { attrs, vis, name, inner, future }
}
