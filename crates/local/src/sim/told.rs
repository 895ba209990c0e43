//! What clients make of an answer.

use taskwright_core::{Json, Verdict};
use taskwright_store::{ErrorKind, Outcome, Result};
use tokio::sync::oneshot;

use super::history::Broken;

/// What became of a request.
pub enum Told<T> {
    Done(T),
    /// Nothing happened.
    Refused,
    /// Nobody knows.
    Nothing,
}

pub fn told<T>(mut answer: oneshot::Receiver<Result<T>>) -> Result<Told<T>, Broken> {
    match answer.try_recv() {
        Ok(Ok(done)) => Ok(Told::Done(done)),
        Ok(Err(error)) => match error.kind {
            ErrorKind::Stopped => Ok(Told::Nothing),
            ErrorKind::Full | ErrorKind::Unavailable | ErrorKind::Invalid => Ok(Told::Refused),
            _ => Err(error.message),
        },
        Err(_) => Err("a request was not answered".to_owned()),
    }
}

/// How an attempt ended, and with which result.
pub fn said(outcome: Outcome) -> (Verdict, Option<Json>) {
    let verdict = outcome.verdict().unwrap_or(Verdict::Released);
    match outcome {
        Outcome::Completed { result } => (verdict, result),
        _ => (verdict, None),
    }
}
