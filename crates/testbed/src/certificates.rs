//! The certificates of a server with TLS.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

use crate::Error;
use crate::programs::{self, User};

/// The files with them, all in PEM.
pub struct Certificates {
    /// Who signed the server's.
    pub authority: PathBuf,
    /// Somebody who signed nothing.
    pub stranger: PathBuf,
    /// The server's, for `localhost` and `127.0.0.1`.
    pub server: PathBuf,
    /// The server's secret.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them, and files that belong to `user`.
    pub fn make(directory: &Path, user: Option<User>) -> Result<Certificates, Error> {
        let authority = authority("Taskwright test authority")?;
        let stranger = self::authority("Another authority")?;
        let key = KeyPair::generate().map_err(Error::failed("making a key"))?;
        let names = ["localhost".to_string(), "127.0.0.1".to_string()];
        let server = CertificateParams::new(names)
            .and_then(|names| names.signed_by(&key, &authority))
            .map_err(Error::failed("making a server's certificate"))?;
        let write = |name: &str, text: String| write(&directory.join(name), &text, user);
        Ok(Certificates {
            authority: write("ca.pem", authority.pem())?,
            stranger: write("stranger.pem", stranger.pem())?,
            server: write("server.pem", server.pem())?,
            key: write("server.key", key.serialize_pem())?,
        })
    }
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, Error> {
    let tried = "making a certificate authority";
    let mut about = CertificateParams::default();
    about.distinguished_name.push(DnType::CommonName, name);
    about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    about.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().map_err(Error::failed(tried))?;
    CertifiedIssuer::self_signed(about, key).map_err(Error::failed(tried))
}

/// A file that only `user` can read: a server refuses keys that others can read too.
fn write(path: &Path, text: &str, user: Option<User>) -> Result<PathBuf, Error> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(Error::failed(format!("writing {}", path.display())))?;
    programs::give(path, user)?;
    Ok(path.to_path_buf())
}
