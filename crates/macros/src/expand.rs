//! What stands in the place of the function.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Type};

use crate::function::{ContextParameter, Function, Output, Parameter};
use crate::options::Options;

/// A unit struct with `job` and `call`, which is a `Task` and a `Handler`.
pub fn expand(function: &Function, options: &Options) -> TokenStream {
    let ident = &function.item.sig.ident;
    let vis = &function.item.vis;
    let docs = function.item.attrs.iter().filter(|attribute| is(attribute, "doc"));
    let cfgs: Vec<_> = function.item.attrs.iter().filter(|a| is(a, "cfg")).collect();
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
    // With the place of the function, so that errors in calls point to its parameters.
    let job = Ident::new("job", function.item.sig.ident.span());
    let args = Ident::new("args", Span::mixed_site());
    let names: Vec<_> = function.parameters.iter().map(|parameter| &parameter.name).collect();
    let types = function.parameters.iter().map(|parameter| &parameter.ty);
    let writes = function.parameters.iter().map(|Parameter { name, ty }| {
        let (text, write) = (plain(name), of_type(ty, "Argument", "write"));
        quote!(#write(&#name, &mut #args, #text);)
    });
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
    let requires = options.requires.as_ref().map(|terms| quote!(.requires(#terms)));
    let cost = options.cost.map(|slots| quote!(.cost(#slots)));
    let takes = options.takes.iter().map(|(name, amount)| quote!(.takes(#name, #amount)));
    let mutable = (!names.is_empty()).then(|| quote!(mut));
    quote! {
        #[doc = #doc]
        #[allow(dead_code, clippy::too_many_arguments)]
        #vis fn #job(#(#names: #types),*) -> ::taskwright::Job<#output> {
            static __NAME: ::taskwright::__private::TaskName =
                ::taskwright::__private::TaskName::new(#name);
            let #mutable #args = ::taskwright::__private::ArgsWriter::default();
            #(#writes)*
            ::taskwright::__private::job_of(&__NAME, #args)
                #queue #priority #max_attempts #timeout #retry #requires #cost #(#takes)*
        }
    }
}

/// The name of a parameter as text.
fn plain(name: &Ident) -> String {
    name.to_string().trim_start_matches("r#").to_owned()
}

/// A function of a trait of ours for a type of the user, so that what the type lacks is said there.
fn of_type(ty: &Type, of: &str, function: &str) -> TokenStream {
    let (of, function) = (Ident::new(of, ty.span()), Ident::new(function, ty.span()));
    quote_spanned!(ty.span()=> <#ty as ::taskwright::__private::#of>::#function)
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
    let queue = options.queue.as_ref().map(|queue| quote!(const QUEUE: &'static str = #queue;));
    quote! {
        impl ::taskwright::Task for #ident {
            const NAME: &'static str = #name;
            #queue
        }
    }
}

fn handler(function: &Function) -> TokenStream {
    let ident = &function.item.sig.ident;
    let site = Span::mixed_site();
    let args = Ident::new("args", site);
    let context = Ident::new("context", site);
    let reader = Ident::new("reader", site);
    let names: Vec<_> = function.parameters.iter().map(|parameter| &parameter.name).collect();
    let texts = names.iter().map(|name| plain(name));
    let reads = function.parameters.iter().enumerate().map(|(number, Parameter { name, ty })| {
        let read = of_type(ty, "Argument", "read");
        quote! {
            let #name = match #read(&#reader, #number) {
                ::core::result::Result::Ok(value) => value,
                ::core::result::Result::Err(fault) => {
                    return ::taskwright::__private::undecodable(<Self as ::taskwright::Task>::NAME, &fault);
                }
            };
        }
    });
    let decode = quote! {
        let #reader = match ::taskwright::__private::args_of(&#args, &[#(#texts),*]) {
            ::core::result::Result::Ok(reader) => reader,
            ::core::result::Result::Err(fault) => {
                return ::taskwright::__private::undecodable(<Self as ::taskwright::Task>::NAME, &fault);
            }
        };
        #(#reads)*
    };
    let decode = if names.is_empty() { quote!(let _ = #args;) } else { decode };
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
    match &function.output {
        Output::Nothing => quote!({
            #call;
            ::taskwright::Outcome::Completed { result: ::core::option::Option::None }
        }),
        Output::Value(ty) => {
            let outcome = of_type(ty, "Output", "outcome");
            quote!({
                const _: () = {
                    #[allow(unused_imports)]
                    use ::taskwright::__private::AnyReturned as _;
                    ::core::assert!(
                        !<::taskwright::__private::Returned<#ty>>::IS_RESULT,
                        "a task that returns a Result under another name needs one that ends in `Result`, so that its errors are seen: rename the type, or write Result<…, …>"
                    );
                };
                #outcome(#call)
            })
        }
        Output::Result { ty, .. } => {
            let side = |side: &str, of: &str| {
                let (side, of) = (Ident::new(side, ty.span()), Ident::new(of, ty.span()));
                quote_spanned! {ty.span()=>
                    <<#ty as ::taskwright::__private::ResultType>::#side
                        as ::taskwright::__private::#of>::outcome
                }
            };
            let (success, failure) = (side("Output", "Output"), side("Failure", "Failure"));
            quote! {
                match #call {
                    ::core::result::Result::Ok(value) => #success(value),
                    ::core::result::Result::Err(error) => #failure(error),
                }
            }
        }
    }
}
