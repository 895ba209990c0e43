//! Who is let in: whoever knows the token, of which only a digest is kept.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const RANDOM_BYTES: usize = 32;
/// Shorter tokens could be guessed.
const TOKEN_BYTES_MIN: usize = 32;
const TOKEN_BYTES_MAX: usize = 1_024;

/// The digest of a token.
#[derive(Clone)]
pub struct Credential {
    digest: [u8; 32],
    source: Option<PathBuf>,
}

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the doc of a variant names its fields")]
pub enum CredentialError {
    /// The file could not be read or written.
    #[error("cannot {action} the token file {}: {cause}", path.display())]
    File { action: &'static str, path: PathBuf, cause: io::Error },
    /// Others could read the file.
    #[error(
        "the token file {} can be used by others (mode {mode:o}); run `chmod 600` on it, or delete it for a new token",
        path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    /// The token is too short or has characters that a header cannot carry.
    #[error(
        "the token in {source_name} has {length} bytes; a token has {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} visible ASCII characters"
    )]
    Unfit { source_name: String, length: usize },
    /// The system gave no random bytes.
    #[error("cannot make a token: the system gave no random bytes ({0}); try again")]
    NoRandomness(getrandom::Error),
}

impl Credential {
    /// Lets in whoever knows `token`: 32 to 1,024 visible ASCII characters.
    pub fn of(token: &str) -> Result<Self, CredentialError> {
        Self::checked(token, None)
    }

    /// Lets in whoever knows the token in the file at `path`.
    ///
    /// Where there is no file, a new token of 256 random bits is written to it, readable by this
    /// user only. A file that others can use is refused.
    pub fn at(path: &Path) -> Result<Self, CredentialError> {
        match Self::read(path) {
            Err(CredentialError::File { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                Self::checked(&Self::read(path)?, Some(path))
            }
            token => Self::checked(&token?, Some(path)),
        }
    }

    /// The token in the file at `path`, for a client of the same user.
    pub fn read(path: &Path) -> Result<String, CredentialError> {
        let failed = |cause| CredentialError::File { action: "read", path: path.to_owned(), cause };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(CredentialError::Exposed { path: path.to_owned(), mode });
        }
        let mut token = String::new();
        file.take(TOKEN_BYTES_MAX as u64 + 2).read_to_string(&mut token).map_err(failed)?;
        Ok(token.trim_end().to_owned())
    }

    /// Where the token stands, if it is in a file.
    pub fn source(&self) -> Option<&Path> {
        self.source.as_deref()
    }

    /// Whether `token` is the one; takes as long for every wrong token.
    pub(crate) fn admits(&self, token: &[u8]) -> bool {
        Sha256::digest(token).as_slice().ct_eq(&self.digest).into()
    }

    fn checked(token: &str, source: Option<&Path>) -> Result<Self, CredentialError> {
        let is_fit = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_fit {
            let source_name = match source {
                Some(path) => path.display().to_string(),
                None => "the options".to_owned(),
            };
            return Err(CredentialError::Unfit { source_name, length: token.len() });
        }
        let source = source.map(Path::to_owned);
        Ok(Credential { digest: Sha256::digest(token.as_bytes()).into(), source })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Writes a new token beside `path` and then gives it its name, which it gets whole or not at all;
/// where another process was faster, its token stays.
fn create(path: &Path) -> Result<(), CredentialError> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(CredentialError::NoRandomness)?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();

    let failed = |cause| CredentialError::File { action: "write", path: path.to_owned(), cause };
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let written = write_draft(&draft, &token).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    match written {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => Err(failed(cause)),
        _ => removed.map_err(failed),
    }
}

fn write_draft(draft: &Path, token: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

#[cfg(test)]
#[path = "tests/credential.rs"]
mod tests;
