//! Who may write where, while a progress bar may be on the screen.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The streams of this process. Clones mean the same ones.
#[derive(Clone, Debug)]
pub struct Console {
    bar: Option<ProgressBar>,
    is_quiet: bool,
}

impl Console {
    /// With a progress bar, where stderr is a terminal. A quiet one only tells errors.
    pub fn new(is_quiet: bool) -> Console {
        let wants_bar = !is_quiet && io::stderr().is_terminal();
        let bar = wants_bar.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            let template = "{bar:32} {pos}/{len} {msg}";
            bar.set_style(
                ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Console { bar, is_quiet }
    }

    /// The progress bar, where there is one.
    pub fn bar(&self) -> Option<&ProgressBar> {
        self.bar.as_ref()
    }

    fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Writes to stdout. May block as long as nobody reads.
    pub fn print(&self, bytes: &[u8]) -> io::Result<()> {
        let write = || {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes)?;
            stdout.flush()
        };
        tokio::task::block_in_place(|| {
            if io::stdout().is_terminal() { self.aside(write) } else { write() }
        })
    }

    /// Writes what a command said to stderr, in one piece.
    pub fn pass_on(&self, bytes: &[u8]) {
        // Where stderr is gone there is nobody to tell.
        let _ = tokio::task::block_in_place(|| self.aside(|| io::stderr().write_all(bytes)));
    }

    /// Says an error on stderr.
    pub fn complain(&self, line: impl std::fmt::Display) {
        self.pass_on(format!("taskwright: {line}\n").as_bytes());
    }

    /// Says something of interest on stderr.
    pub fn tell(&self, text: impl std::fmt::Display) {
        if !self.is_quiet {
            self.pass_on(format!("{text}\n").as_bytes());
        }
    }

    /// Takes the progress bar off the screen.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
