//! A thread that looks into a table file for others.

use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use taskwright_store::{Error, ErrorKind, Result};

use super::Reader;

/// Questions that may wait.
const QUESTIONS_MAX: usize = 10_000;
const RETRY_AFTER: Duration = Duration::from_millis(100);

type Question = Box<dyn FnOnce(&mut Reader) + Send>;

/// Questions go in, one thread with one connection answers them; it ends when this is dropped.
pub(super) struct Desk(SyncSender<Question>);

impl Desk {
    /// Opens the table and starts the thread.
    pub fn open(path: &Path, name: &str) -> Result<Self> {
        let mut reader = Reader::open(path)?;
        let (questions, asked) = sync_channel::<Question>(QUESTIONS_MAX);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                for question in asked {
                    question(&mut reader);
                }
            })
            .map_err(|error| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("could not start a thread to read the table: {error}; try again"),
                )
            })?;
        Ok(Desk(questions))
    }

    /// Puts a question in line.
    pub fn post(&self, question: Question) -> Result<()> {
        self.0.try_send(question).map_err(|error| match error {
            TrySendError::Full(_) => Error::new(
                ErrorKind::Busy,
                "too many questions wait for the table; ask again in a moment",
            )
            .retry_after(RETRY_AFTER),
            TrySendError::Disconnected(_) => Error::new(
                ErrorKind::Stopped,
                "the thread that reads the table is gone; open the store again",
            ),
        })
    }
}
