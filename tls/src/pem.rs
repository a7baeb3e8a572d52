//! Certificates, keys and roots as PEM, in files or in memory.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::SetupError;

/// Nothing that is read here is longer.
const MAX_FILE: u64 = 4 << 20;

/// PEM, or where it is.
#[derive(Clone)]
pub(crate) enum Pem {
    File(PathBuf),
    Text(&'static str, Arc<[u8]>),
}

/// A key may be among it.
impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pem({})", self.what())
    }
}

impl Pem {
    pub(crate) fn file(path: impl AsRef<Path>) -> Self {
        Self::File(path.as_ref().to_owned())
    }

    pub(crate) fn text(what: &'static str, pem: impl AsRef<[u8]>) -> Self {
        Self::Text(what, pem.as_ref().into())
    }

    /// The file's name, or what it is in memory.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text(what, _) => (*what).to_owned(),
        }
    }

    pub(crate) fn wrong(&self, why: impl std::fmt::Display) -> SetupError {
        SetupError::new(self.what(), why)
    }

    fn read(&self) -> Result<Vec<u8>, SetupError> {
        match self {
            Self::File(path) => {
                let mut bytes = Vec::new();
                let file = fs::File::open(path).map_err(|error| self.wrong(error))?;
                let read = file.take(MAX_FILE).read_to_end(&mut bytes);
                read.map_err(|error| self.wrong(error))?;
                Ok(bytes)
            }
            Self::Text(_, bytes) => Ok(bytes.to_vec()),
        }
    }

    /// A certificate and those that lead from it to a root.
    pub(crate) fn chain(&self) -> Result<Vec<CertificateDer<'static>>, SetupError> {
        let bytes = self.read()?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let chain = chain.map_err(|error| self.wrong(format!("not PEM: {error}")))?;
        if chain.is_empty() {
            return Err(self.wrong("holds no certificate (-----BEGIN CERTIFICATE-----)"));
        }
        Ok(chain)
    }

    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, SetupError> {
        let key = PrivateKeyDer::from_pem_slice(&self.read()?);
        key.map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => {
                self.wrong("holds no private key (-----BEGIN PRIVATE KEY-----)")
            }
            other => self.wrong(format!("not PEM: {other}")),
        })
    }
}

/// Everybody who may sign, of all these files.
pub(crate) fn roots(sources: &[Pem]) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    for source in sources {
        for root in source.chain()? {
            roots.add(root).map_err(|error| source.wrong(format!("not a root: {error}")))?;
        }
    }
    Ok(roots)
}
