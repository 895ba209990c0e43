//! What stands in the place of the function.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Attribute;
use syn::spanned::Spanned;

use crate::function::{ContextParameter, Function, Output};
use crate::options::Options;

/// A unit struct with `job` and `call`, which is a `Task` and a `Handler`.
pub fn expand(function: &Function, options: &Options) -> TokenStream {
    let ident = &function.item.sig.ident;
    let vis = &function.item.vis;
    let docs = function.item.attrs.iter().filter(|attribute| is(attribute, "doc"));
    let cfgs: Vec<_> = function.item.attrs.iter().filter(|a| is(a, "cfg")).collect();
    let args = args_struct(function);
    let job = job(function, options);
    let call = call(function);
    let task = task(function, options);
    let handler = handler(function);
    quote! {
        #(#docs)*
        #(#cfgs)*
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug)]
        #vis struct #ident;

        #(#cfgs)*
        #args

        #(#cfgs)*
        impl #ident {
            #job
            #call
        }

        #(#cfgs)*
        #task

        #(#cfgs)*
        #handler
    }
}

fn is(attribute: &Attribute, name: &str) -> bool {
    attribute.path().is_ident(name)
}

fn args_ident(function: &Function) -> Ident {
    let name = function.item.sig.ident.to_string();
    format_ident!("__{}_args", name.trim_start_matches("r#"))
}

fn args_struct(function: &Function) -> TokenStream {
    let ident = args_ident(function);
    let names = function.parameters.iter().map(|parameter| &parameter.name);
    let types = function.parameters.iter().map(|parameter| &parameter.ty);
    quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #[derive(::taskwright::__private::Serialize, ::taskwright::__private::Deserialize)]
        #[serde(crate = "::taskwright::__private::serde")]
        struct #ident { #(#names: #types),* }
    }
}

fn task_name(function: &Function, options: &Options) -> String {
    let ident = function.item.sig.ident.to_string();
    options.name.clone().unwrap_or_else(|| ident.trim_start_matches("r#").to_owned())
}

fn output_type(function: &Function) -> TokenStream {
    match &function.output {
        Output::Nothing => quote!(()),
        Output::Value(ty) => quote!(#ty),
        Output::Result { success: Some(ty), .. } => quote!(#ty),
        Output::Result { ty, success: None } => {
            quote!(<#ty as ::taskwright::__private::ResultType>::Output)
        }
    }
}

fn job(function: &Function, options: &Options) -> TokenStream {
    let vis = &function.item.vis;
    let doc = format!("A job that runs [`{}`] with these arguments.", function.item.sig.ident);
    let args = args_ident(function);
    let names: Vec<_> = function.parameters.iter().map(|parameter| &parameter.name).collect();
    let types = function.parameters.iter().map(|parameter| &parameter.ty);
    let output = output_type(function);
    let name = task_name(function, options);
    let queue = options.queue.as_ref().map(|queue| quote!(.queue(#queue)));
    let priority = options.priority.map(|priority| quote!(.priority(#priority)));
    let max_attempts = options.max_attempts.map(|max| quote!(.max_attempts(#max)));
    let timeout = options
        .timeout_ms
        .map(|timeout| quote!(.timeout(::core::time::Duration::from_millis(#timeout))));
    let retry = options.retry_ms.as_ref().map(|waits| {
        quote!(.retry(::taskwright::RetryPolicy::List { delays_ms: ::std::vec![#(#waits),*] }))
    });
    quote! {
        #[doc = #doc]
        #[allow(dead_code, clippy::too_many_arguments)]
        #vis fn job(#(#names: #types),*) -> ::taskwright::Job<#output> {
            static __NAME: ::taskwright::__private::TaskName =
                ::taskwright::__private::TaskName::new(#name);
            ::taskwright::__private::job_of(&__NAME, &#args { #(#names),* })
                #queue #priority #max_attempts #timeout #retry
        }
    }
}

/// The function itself, as it was written.
fn call(function: &Function) -> TokenStream {
    let attributes = function.item.attrs.iter().filter(|a| !is(a, "cfg") && !is(a, "doc"));
    let vis = &function.item.vis;
    let block = &function.item.block;
    let mut signature = function.item.sig.clone();
    let doc =
        format!("Runs the function of [`{}`] here and now, without a queue.", signature.ident);
    signature.ident = Ident::new("call", signature.ident.span());
    quote! {
        #[doc = #doc]
        #[allow(dead_code)]
        #(#attributes)*
        #vis #signature #block
    }
}

fn task(function: &Function, options: &Options) -> TokenStream {
    let ident = &function.item.sig.ident;
    let name = task_name(function, options);
    quote! {
        impl ::taskwright::Task for #ident {
            const NAME: &'static str = #name;
        }
    }
}

fn handler(function: &Function) -> TokenStream {
    let ident = &function.item.sig.ident;
    let args_ident = args_ident(function);
    let site = Span::mixed_site();
    let args = Ident::new("args", site);
    let context = Ident::new("context", site);
    let names: Vec<_> = function.parameters.iter().map(|parameter| &parameter.name).collect();
    let decode = if names.is_empty() {
        quote!(let _ = #args;)
    } else {
        quote! {
            let #args_ident { #(#names),* } = match ::taskwright::__private::args_of(
                &#args,
                <Self as ::taskwright::Task>::NAME,
            ) {
                ::core::result::Result::Ok(args) => args,
                ::core::result::Result::Err(attempt) => return attempt,
            };
        }
    };
    let context_argument = match function.context {
        Some(ContextParameter::Borrowed) => quote!(&#context,),
        Some(ContextParameter::Owned) => quote!(#context,),
        None => quote!(),
    };
    let keep_context = match function.context {
        Some(_) => quote!(),
        None => quote!(let _ = #context;),
    };
    let awaited = if function.is_async() { quote!(.await) } else { quote!() };
    let outcome = outcome(function, &quote!(#ident::call(#context_argument #(#names),*) #awaited));
    let attempt = if function.is_async() {
        quote!(::taskwright::Attempt::future(async move { #outcome }))
    } else {
        quote!(::taskwright::Attempt::blocking(move || { #outcome }))
    };
    quote! {
        impl ::taskwright::Handler for #ident {
            fn start(
                &self,
                #args: ::taskwright::Json,
                #context: ::taskwright::Context,
            ) -> ::taskwright::Attempt {
                #keep_context
                #decode
                #attempt
            }
        }
    }
}

fn outcome(function: &Function, call: &TokenStream) -> TokenStream {
    let success = |span: Span, value: TokenStream| {
        let outcome_of = quote_spanned!(span=> ::taskwright::__private::success_of);
        quote!(#outcome_of(#value))
    };
    match &function.output {
        Output::Nothing => {
            let done = success(Span::mixed_site(), quote!(()));
            quote!({ #call; #done })
        }
        Output::Value(ty) => {
            let done = success(ty.span(), call.clone());
            quote!({
                const _: () = {
                    #[allow(unused_imports)]
                    use ::taskwright::__private::AnyReturned as _;
                    ::core::assert!(
                        !<::taskwright::__private::Returned<#ty>>::IS_RESULT,
                        "a task that returns a Result under another name needs one that ends in `Result`, so that its errors are seen: rename the type, or write Result<…, …>"
                    );
                };
                #done
            })
        }
        Output::Result { ty, .. } => {
            let outcome_of = quote_spanned!(ty.span()=> ::taskwright::__private::outcome_of);
            quote!(#outcome_of(#call))
        }
    }
}
