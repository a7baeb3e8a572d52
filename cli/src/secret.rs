//! Secrets that are kept in files: read up to a limit, and cleared once nobody needs them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;

/// Bytes of a file with one secret that a person wrote, with line breaks and all.
pub(crate) const LINE_MAX: usize = 4 << 10;

/// Bytes that are not printed, and are cleared when they are dropped.
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    /// What is in this file, which is for `what`.
    ///
    /// # Errors
    ///
    /// A sentence with the file's name: it cannot be read, or has more than `most` bytes.
    pub(crate) fn read(path: &Path, what: &str, most: usize) -> Result<Self, String> {
        let origin = path.display();
        let cannot = |error: io::Error| format!("cannot read {origin}: {error}");
        let file = File::open(path).map_err(cannot)?;
        // All the room from the beginning: bytes that grow leave copies behind.
        let room = file.metadata().map_or(0, |known| known.len()).min(most as u64) as usize;
        let mut secret = Self(Vec::with_capacity(room + 64));
        file.take(most as u64 + 1).read_to_end(&mut secret.0).map_err(cannot)?;
        if secret.0.len() > most {
            return Err(format!("{origin} has more than the {most} bytes of {what}"));
        }
        Ok(secret)
    }

    /// Without what editors put behind it and nobody means.
    pub(crate) fn trimmed_end(mut self) -> Self {
        let len = self.0.trim_ascii_end().len();
        self.0.truncate(len);
        self
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // What was cut off, too.
        self.0.clear();
        self.0.resize(self.0.capacity(), 0);
        std::hint::black_box(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_it_may_be_is_refused_and_not_read_to_its_end() {
        let dir = std::env::temp_dir();
        let path = dir.join(format!("outlast-secret-{}", std::process::id()));
        std::fs::write(&path, b" open sesame \r\n").expect("it can be written");
        let read = |most| Secret::read(&path, "a token", most);
        let secret = read(15).expect("it has just so many");
        assert_eq!(secret.len(), 15);
        assert_eq!(&*secret.trimmed_end(), b" open sesame");
        let error = read(14).expect_err("one too many");
        assert!(error.contains("has more than the 14 bytes of a token"), "{error}");
        std::fs::remove_file(&path).expect("it was there");
        let error = read(15).expect_err("it is gone");
        assert!(error.starts_with("cannot read"), "{error}");
        #[cfg(unix)]
        {
            let error = Secret::read(Path::new("/dev/zero"), "a key", 32);
            let error = error.expect_err("it has no end");
            assert!(error.contains("more than the 32 bytes of a key"), "{error}");
        }
    }
}
