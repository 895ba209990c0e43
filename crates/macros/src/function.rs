//! The function below the attribute: what can be a task, and what cannot.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Error, FnArg, ItemFn, Pat, ReturnType, Type};

/// A function that can be a task.
pub struct Function {
    pub item: ItemFn,
    pub context: Option<ContextParameter>,
    pub parameters: Vec<Parameter>,
    pub output: Output,
}

/// How the function takes its context.
pub enum ContextParameter {
    Borrowed,
    Owned,
}

/// A parameter that is an argument of the job.
pub struct Parameter {
    pub name: Ident,
    pub ty: Type,
}

/// What the function returns.
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
pub enum Output {
    Nothing,
    Value(Type),
    /// A `Result`; the first type where its success type can be read off.
    Result {
        ty: Type,
        success: Option<Type>,
    },
}

impl Function {
    pub fn parse(item: TokenStream) -> syn::Result<Function> {
        let item: ItemFn = match syn::parse2(item.clone()) {
            Ok(function) => function,
            Err(error) if looks_like_function(&item) => return Err(error),
            Err(_) => {
                let message =
                    "a task is a function: write #[task] above `async fn name(…)` or `fn name(…)`";
                return Err(Error::new_spanned(item, message));
            }
        };
        check_signature(&item.sig)?;
        let mut inputs = item.sig.inputs.iter().peekable();
        let context = inputs.peek().and_then(|input| context_of(input));
        if context.is_some() {
            inputs.next();
        }
        let parameters = inputs.map(parameter).collect::<syn::Result<_>>()?;
        let output = output(&item.sig.output)?;
        Ok(Function { context, parameters, output, item })
    }

    pub fn is_async(&self) -> bool {
        self.item.sig.asyncness.is_some()
    }
}

fn looks_like_function(item: &TokenStream) -> bool {
    item.clone().into_iter().any(|token| token.to_string() == "fn")
        && !item.clone().into_iter().any(|token| {
            ["struct", "impl", "mod", "trait", "enum"].contains(&token.to_string().as_str())
        })
}

fn check_signature(signature: &syn::Signature) -> syn::Result<()> {
    if let Some(FnArg::Receiver(receiver)) = signature.inputs.first() {
        let message = "a task has no `self`, because nothing but its arguments travels with a job: make it a free function, and pass what it needs as arguments";
        return Err(Error::new_spanned(receiver, message));
    }
    if !signature.generics.params.is_empty() {
        let message = "a task has no type parameters or lifetimes, because a job knows it by its name alone: write one task for each type, which calls the generic function";
        return Err(Error::new_spanned(&signature.generics, message));
    }
    if let syn::Safety::Unsafe(unsafety) = &signature.safety {
        let message = "a task is a safe function: make it one, with the unsafe code inside";
        return Err(Error::new_spanned(unsafety, message));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(abi, "a task is an ordinary function: remove `extern`"));
    }
    if let Some(constness) = &signature.constness {
        return Err(Error::new_spanned(constness, "a task runs in a worker: remove `const`"));
    }
    if let Some(variadic) = &signature.variadic {
        return Err(Error::new_spanned(variadic, "a task has a fixed number of parameters"));
    }
    Ok(())
}

fn last_segment(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        _ => None,
    }
}

fn is_context(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == "Context")
}

fn context_of(input: &FnArg) -> Option<ContextParameter> {
    let FnArg::Typed(input) = input else { return None };
    match &*input.ty {
        Type::Reference(reference)
            if reference.mutability.is_none() && is_context(&reference.elem) =>
        {
            Some(ContextParameter::Borrowed)
        }
        ty if is_context(ty) => Some(ContextParameter::Owned),
        _ => None,
    }
}

fn parameter(input: &FnArg) -> syn::Result<Parameter> {
    let FnArg::Typed(input) = input else {
        return Err(Error::new_spanned(input, "a task has no `self`"));
    };
    if mentions_context(&input.ty) {
        let message = "the context comes first, as `ctx: &Context` or `ctx: Context`";
        return Err(Error::new_spanned(&input.ty, message));
    }
    let name = match &*input.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
            pattern.ident.clone()
        }
        pattern => {
            let message = "a parameter of a task needs a plain name, which is the name of the argument in the job: write `name: Type`, and take it apart inside";
            return Err(Error::new_spanned(pattern, message));
        }
    };
    check_owned(&input.ty, &format!("the argument `{name}`"))?;
    Ok(Parameter { name, ty: (*input.ty).clone() })
}

fn mentions_context(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => is_context(&reference.elem),
        ty => is_context(ty),
    }
}

fn output(output: &ReturnType) -> syn::Result<Output> {
    let ReturnType::Type(_, ty) = output else { return Ok(Output::Nothing) };
    check_owned(ty, "the result")?;
    let Some(segment) = last_segment(ty) else { return Ok(Output::Value((**ty).clone())) };
    if !segment.ident.to_string().ends_with("Result") {
        return Ok(Output::Value((**ty).clone()));
    }
    // Whatever is called just `Result`, of whichever crate, has its success type first.
    let success = match &segment.arguments {
        syn::PathArguments::AngleBracketed(arguments) if segment.ident == "Result" => {
            arguments.args.iter().find_map(|argument| match argument {
                syn::GenericArgument::Type(ty) => Some(ty.clone()),
                _ => None,
            })
        }
        _ => None,
    };
    Ok(Output::Result { ty: (**ty).clone(), success })
}

/// Refuses types that cannot travel: borrowed ones, and those without a name.
fn check_owned(ty: &Type, what: &str) -> syn::Result<()> {
    struct Finder<'a> {
        what: &'a str,
        fault: Option<Error>,
    }
    impl<'ast> Visit<'ast> for Finder<'_> {
        fn visit_type(&mut self, ty: &'ast Type) {
            let message = match ty {
                Type::Reference(reference) => format!(
                    "{} is borrowed, but it is read from the queue in another place and time: write `{}`",
                    self.what,
                    owned(&reference.elem)
                ),
                Type::ImplTrait(_) => format!(
                    "{} needs a type with a name, because it is written as JSON and read back: write the type itself",
                    self.what
                ),
                Type::Ptr(_) => format!(
                    "{} is a pointer, which means nothing elsewhere: pass the value",
                    self.what
                ),
                _ => return visit::visit_type(self, ty),
            };
            self.fault.get_or_insert_with(|| Error::new(ty.span(), message));
        }
    }
    let mut finder = Finder { what, fault: None };
    finder.visit_type(ty);
    finder.fault.map_or(Ok(()), Err)
}

/// The owned form of a type that was borrowed.
fn owned(ty: &Type) -> String {
    match ty {
        Type::Slice(slice) => format!("Vec<{}>", text(&slice.elem)),
        ty => match text(ty).as_str() {
            "str" => "String".to_owned(),
            "Path" | "std :: path :: Path" => "PathBuf".to_owned(),
            other => other.to_owned(),
        },
    }
}

fn text(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string().replace(" < ", "<").replace(" >", ">")
}
