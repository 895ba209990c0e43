//! What stands in the parentheses of the attribute.

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprLit, Ident, Lit, LitInt, LitStr, Meta, Token};
use taskwright_core::{Name, Requirement, limits, parse_duration};

use crate::function::Function;

/// The options of a task. Everything is checked here, so that what expands is right.
#[derive(Default)]
pub struct Options {
    pub name: Option<String>,
    pub queue: Option<String>,
    pub priority: Option<i8>,
    pub max_attempts: Option<u32>,
    pub timeout_ms: Option<u64>,
    pub retry_ms: Option<Vec<u64>>,
    pub requires: Option<String>,
    pub cost: Option<u32>,
    pub takes: Vec<(String, u64)>,
}

const KNOWN: &str =
    "name, queue, priority, max_attempts, timeout, retry, requires, cost, takes, blocking";

impl Options {
    pub fn parse(tokens: TokenStream, function: &Function) -> syn::Result<Options> {
        let metas =
            Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens).map_err(|error| {
                Error::new(
                    error.span(),
                    format!(
                        "{error}: options look like #[task(queue = \"mail\", max_attempts = 5)]"
                    ),
                )
            })?;
        let mut options = Options::default();
        let mut seen = Vec::new();
        for meta in &metas {
            let name = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
            if seen.contains(&name) {
                return Err(Error::new_spanned(
                    meta,
                    format!("`{name}` is given twice: remove one"),
                ));
            }
            options.set(&name, meta, function)?;
            seen.push(name);
        }
        if options.name.is_none() {
            let function_name = function.item.sig.ident.to_string();
            let function_name = function_name.trim_start_matches("r#");
            Name::new(function_name).map_err(|error| {
                let message = format!("{error}; give the task one: #[task(name = \"…\")]");
                Error::new_spanned(&function.item.sig.ident, message)
            })?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, meta: &Meta, function: &Function) -> syn::Result<()> {
        match name {
            "name" => self.name = Some(name_in(meta, "name = \"mail.send\"")?),
            "queue" => self.queue = Some(name_in(meta, "queue = \"mail\"")?),
            "priority" => self.priority = Some(priority(meta)?),
            "max_attempts" => self.max_attempts = Some(max_attempts(meta)?),
            "timeout" => self.timeout_ms = Some(timeout(meta)?),
            "retry" => self.retry_ms = Some(retry(meta)?),
            "requires" => self.requires = Some(requirement(meta)?),
            "cost" => self.cost = Some(cost(meta)?),
            "takes" => self.takes = takes(meta)?,
            "blocking" => {
                meta.require_path_only().map_err(|_| {
                    Error::new_spanned(meta, "`blocking` has no value: write #[task(blocking)]")
                })?;
                if let Some(asyncness) = &function.item.sig.asyncness {
                    let message = "`blocking` is for functions that are not async: remove `async`, or remove `blocking`";
                    return Err(Error::new_spanned(asyncness, message));
                }
            }
            _ => {
                let path = meta.path();
                let given = quote::quote!(#path).to_string();
                let message = format!("there is no option `{given}`; there are {KNOWN}");
                return Err(Error::new_spanned(path, message));
            }
        }
        Ok(())
    }
}

fn value<'a>(meta: &'a Meta, example: &str) -> syn::Result<&'a Expr> {
    let named = meta.require_name_value();
    named.map(|named| &named.value).map_err(|_| {
        Error::new_spanned(meta, format!("this option needs a value: write {example}"))
    })
}

fn text(expr: &Expr, example: &str) -> syn::Result<LitStr> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
        other => {
            Err(Error::new_spanned(other, format!("this is not a text in quotes: write {example}")))
        }
    }
}

fn name_in(meta: &Meta, example: &str) -> syn::Result<String> {
    let text = text(value(meta, example)?, example)?;
    let name =
        Name::new(text.value()).map_err(|error| Error::new(text.span(), error.to_string()))?;
    Ok(name.to_string())
}

fn requirement(meta: &Meta) -> syn::Result<String> {
    let example = "requires = \"gpu>=24\"";
    let text = text(value(meta, example)?, example)?;
    let requirement: Requirement =
        text.value().parse().map_err(|error| Error::new(text.span(), error))?;
    Ok(requirement.to_string())
}

fn priority(meta: &Meta) -> syn::Result<i8> {
    let example = "priority = 5, from -10 (least urgent) to 10 (most urgent)";
    let expr = value(meta, example)?;
    let (digits, is_negative) = match expr {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => (Some(number), false),
        Expr::Unary(syn::ExprUnary { op: syn::UnOp::Neg(_), expr, .. }) => match &**expr {
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => (Some(number), true),
            _ => (None, false),
        },
        _ => (None, false),
    };
    let number = digits.and_then(|number| number.base10_parse::<i8>().ok());
    let number = number.map(|number| if is_negative { -number } else { number });
    number
        .filter(|number| (limits::PRIORITY_MIN..=limits::PRIORITY_MAX).contains(number))
        .ok_or_else(|| Error::new(expr.span(), format!("this is not a priority: write {example}")))
}

fn max_attempts(meta: &Meta) -> syn::Result<u32> {
    let example = format!("max_attempts = 5, from 1 to {}", limits::ATTEMPTS_MAX);
    let expr = value(meta, &example)?;
    let number = match expr {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse::<u32>().ok(),
        _ => None,
    };
    number.filter(|number| (1..=limits::ATTEMPTS_MAX).contains(number)).ok_or_else(|| {
        Error::new(expr.span(), format!("this is not a number of attempts: write {example}"))
    })
}

fn cost(meta: &Meta) -> syn::Result<u32> {
    let example = format!("cost = 4, from 1 to {}", limits::COST_MAX);
    let expr = value(meta, &example)?;
    let slots = match expr {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse::<u32>().ok(),
        _ => None,
    };
    slots.filter(|slots| (1..=limits::COST_MAX).contains(slots)).ok_or_else(|| {
        Error::new(expr.span(), format!("this is not a number of slots: write {example}"))
    })
}

fn takes(meta: &Meta) -> syn::Result<Vec<(String, u64)>> {
    let example = "takes(memory = 8, gpu = 1)";
    let list = meta.require_list().map_err(|_| {
        Error::new_spanned(meta, format!("this option has amounts in parentheses: write {example}"))
    })?;
    let amounts = list.parse_args_with(Punctuated::<Amount, Token![,]>::parse_terminated)?;
    if amounts.is_empty() {
        return Err(Error::new_spanned(list, format!("this takes nothing: write {example}")));
    }
    let mut requires = Requirement::NONE;
    for (index, Amount { name, amount, span }) in amounts.iter().enumerate() {
        if amounts.iter().take(index).any(|earlier| earlier.name == *name) {
            return Err(Error::new(*span, format!("`{name}` is given twice: remove one")));
        }
        requires = requires.with_taken(name, *amount).map_err(|error| Error::new(*span, error))?;
    }
    Ok(amounts.into_iter().map(|Amount { name, amount, .. }| (name, amount)).collect())
}

/// `memory = 8`; a name that Rust does not know as one stands in quotes.
struct Amount {
    name: String,
    amount: u64,
    span: Span,
}

impl Parse for Amount {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let (name, span) = if input.peek(LitStr) {
            let text: LitStr = input.parse()?;
            (text.value(), text.span())
        } else {
            let name = input.call(Ident::parse_any)?;
            (name.to_string(), name.span())
        };
        input.parse::<Token![=]>()?;
        let number: LitInt = input.parse()?;
        let amount = number.base10_parse().ok();
        let amount = amount.filter(|amount| (1..=limits::RESOURCE_MAX).contains(amount));
        let amount = amount.ok_or_else(|| {
            let example = "takes(memory = 8), whole and at least 1";
            Error::new(number.span(), format!("this is not an amount: write {example}"))
        })?;
        Ok(Amount { name, amount, span })
    }
}

fn duration_ms(expr: &Expr, example: &str) -> syn::Result<u64> {
    let text = text(expr, example)?;
    let duration = parse_duration(&text.value())
        .map_err(|error| Error::new(text.span(), error.to_string()))?;
    Ok(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn timeout(meta: &Meta) -> syn::Result<u64> {
    let expr = value(meta, "timeout = \"10m\"")?;
    let timeout_ms = duration_ms(expr, "timeout = \"10m\"")?;
    let max_ms = u64::try_from(limits::TIMEOUT_MAX.as_millis()).unwrap_or(u64::MAX);
    if timeout_ms == 0 || timeout_ms > max_ms {
        let message = "a timeout is at least 1ms and at most 366 days; leave it out for no limit";
        return Err(Error::new(expr.span(), message));
    }
    Ok(timeout_ms)
}

fn retry(meta: &Meta) -> syn::Result<Vec<u64>> {
    let example = "retry = \"30s\" or retry = [\"1m\", \"5m\", \"1h\"]";
    let expr = value(meta, example)?;
    let Expr::Array(list) = expr else { return Ok(vec![duration_ms(expr, example)?]) };
    if list.elems.is_empty() || list.elems.len() > limits::RETRY_DELAYS_MAX {
        let message = format!("give 1 to {} waits: write {example}", limits::RETRY_DELAYS_MAX);
        return Err(Error::new_spanned(list, message));
    }
    list.elems.iter().map(|wait| duration_ms(wait, example)).collect()
}
