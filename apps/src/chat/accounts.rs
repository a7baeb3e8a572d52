//! Who may come in: names, and what is kept of passwords.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use outlast_service::core::auth::{AuthContext, AuthStep, Reply, Verdict};
use outlast_service::{Authenticator, Credentials, Password, Passwords, StoredPassword};
use smol::lock::Semaphore;

use crate::runtime::{aside, lock};

/// Accounts that there may be.
const MOST: usize = 100_000;

/// The accounts of a server. Clones are the same ones.
///
/// Of a password only salted keys are kept ([`StoredPassword`]), in memory and in the file. Over a
/// session a client proves that it knows its password without showing it; who speaks lines of JSON
/// shows it, and [`check`](Self::check) has both ends of the same proof here.
#[derive(Debug, Clone)]
pub struct Accounts {
    known: Arc<Mutex<Known>>,
    iterations: u32,
    file: Option<Arc<Path>>,
    /// Passwords that may be hashed at the same time.
    turns: Arc<Semaphore>,
}

/// Whoever guesses keeps so many cores busy, and no more.
const AT_ONCE: usize = 2;

#[derive(Debug, Default)]
struct Known {
    by_name: HashMap<String, (StoredPassword, u64)>,
    names: HashMap<u64, Arc<str>>,
}

/// Why there is no new account.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum NoAccount {
    /// The name is not 3 to 20 letters, digits and underscores, or begins with a digit.
    Name,
    /// The password is not 6 to 50 characters with a letter and a digit among them.
    Password,
    /// Somebody else has the name.
    Taken,
    /// There is no room, or the file cannot be written.
    Full,
}

impl NoAccount {
    /// What the person is told.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Name => "a name has 3 to 20 letters, digits and _, and no digit in front",
            Self::Password => "a password has 6 to 50 characters, a letter and a digit among them",
            Self::Taken => "this name is taken",
            Self::Full => "no new accounts at the moment",
        }
    }
}

impl Accounts {
    /// In memory only. A guess at a password costs `iterations` hashes, 4,096 to 10,000,000.
    #[must_use]
    pub fn in_memory(iterations: u32) -> Self {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { known: Arc::default(), iterations, file: None, turns }
    }

    /// In a file too, with what is in it: on each line a name, a number and the stored password, as
    /// PostgreSQL writes it.
    ///
    /// # Errors
    ///
    /// If the file is there and cannot be read, or a line of it says something else.
    pub fn in_file(path: PathBuf, iterations: u32) -> io::Result<Self> {
        let mut known = Known::default();
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        for (number, line) in text.lines().enumerate() {
            let parts: Vec<&str> = line.split(' ').collect();
            let parsed = match parts[..] {
                [name, id, stored] => id.parse().ok().zip(stored.parse().ok()).map(|it| (name, it)),
                _ => None,
            };
            let Some((name, (id, stored))) = parsed else {
                let what = format!("{}:{}: no account", path.display(), number + 1);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            };
            known.add(name, stored, id);
        }
        let (known, file) = (Arc::new(Mutex::new(known)), Some(path.into()));
        Ok(Self { known, file, ..Self::in_memory(iterations) })
    }

    /// What a server of sessions asks its clients.
    ///
    /// # Errors
    ///
    /// If passwords are not stored with as few or as many iterations.
    pub fn authenticator(&self) -> io::Result<Passwords> {
        let known = Arc::clone(&self.known);
        let passwords = Passwords::by(move |name| lock(&known).by_name.get(name).cloned())
            .usual_iterations(self.iterations)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        // The chat is for local networks. Over TLS (`.layer(..)` on both builders) this goes.
        Ok(passwords.allow_plaintext())
    }

    /// Does what takes long, [`register`](Self::register) and [`check`](Self::check), in a thread
    /// for such, two at the same time.
    pub async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let _turn = self.turns.acquire().await;
        let accounts = self.clone();
        aside(move || work(&accounts)).await
    }

    /// Makes an account, and says its number. It takes as long as a guess at a password does.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn register(&self, name: &str, password: &str) -> Result<u64, NoAccount> {
        if !is_name(name) {
            return Err(NoAccount::Name);
        }
        if !is_password(password) {
            return Err(NoAccount::Password);
        }
        let stored = StoredPassword::with_iterations(password, self.iterations);
        let stored = stored.map_err(|_| NoAccount::Password)?;
        let mut known = lock(&self.known);
        if known.by_name.contains_key(name) {
            return Err(NoAccount::Taken);
        }
        let id = known.names.keys().max().map_or(1, |last| last + 1);
        let line = format!("{name} {id} {}\n", stored.to_text());
        if known.names.len() >= MOST || self.write(&line).is_err() {
            return Err(NoAccount::Full);
        }
        known.add(name, stored, id);
        Ok(id)
    }

    fn write(&self, line: &str) -> io::Result<()> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        let mut options = std::fs::OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        file.write_all(line.as_bytes())?;
        file.sync_data()
    }

    /// Whose password this is. A name that is not known takes as long as one that is, and is
    /// answered the same.
    #[must_use]
    pub fn check(&self, name: &str, password: &str) -> Option<u64> {
        let context = AuthContext { client_id: &[], channel_binding: &[], encrypted: true };
        let client = Password::new(name, password).ok()?;
        let mut prover = client.prover();
        let mut verifier = self.authenticator().ok()?.verifier(None);
        let (mut said, mut answer) = ([0; 1024], [0; 1024]);
        let mut len = prover.start(&context, &mut said)?;
        for index in 0..2 {
            let step = AuthStep { method: prover.method(), index, data: &said[..len] };
            match verifier.handle_step(&context, step, &mut answer) {
                Verdict::Accept { principal, .. } => return Some(principal),
                Verdict::Deny => return None,
                Verdict::Continue(asked) => {
                    match prover.handle_step(&context, &answer[..asked], &mut said) {
                        Reply::Send(proof) => len = proof,
                        Reply::Wait | Reply::Refuse => return None,
                    }
                }
            }
        }
        None
    }

    /// The name that goes with a number.
    #[must_use]
    pub fn name(&self, id: u64) -> Option<Arc<str>> {
        lock(&self.known).names.get(&id).cloned()
    }
}

impl Known {
    fn add(&mut self, name: &str, stored: StoredPassword, id: u64) {
        self.by_name.insert(name.to_owned(), (stored, id));
        self.names.insert(id, name.into());
    }
}

fn is_name(name: &str) -> bool {
    let letter = |letter: char| {
        letter.is_ascii_alphanumeric() || letter == '_' || ('一'..='龥').contains(&letter)
    };
    (3..=20).contains(&name.chars().count())
        && name.chars().all(letter)
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

fn is_password(password: &str) -> bool {
    (6..=50).contains(&password.chars().count())
        && password.chars().any(char::is_alphabetic)
        && password.chars().any(char::is_numeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_have_rules() {
        for name in ["ann", "Bob_7", "汉字名", "a2345678901234567890"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "an", "7up", "a b", "ann\n", "名字", "a23456789012345678901", "näm"] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_password("passw0rd") && is_password("пароль1"));
        for password in ["", "pass1", "password", "12345678"] {
            assert!(!is_password(password), "{password}");
        }
    }

    #[test]
    fn a_password_is_checked_and_not_kept() {
        let path = std::env::temp_dir().join(format!("outlast-accounts-{}", std::process::id()));
        let accounts = Accounts::in_file(path.clone(), 4_096).unwrap();
        assert_eq!(accounts.register("ann", "passw0rd"), Ok(1));
        assert_eq!(accounts.register("bob", "passw0rd"), Ok(2));
        assert_eq!(accounts.register("ann", "an0ther"), Err(NoAccount::Taken));
        assert_eq!(accounts.register("an n", "an0ther"), Err(NoAccount::Name));
        assert_eq!(accounts.register("cid", "short"), Err(NoAccount::Password));
        // What another start of the server makes of the file.
        let again = Accounts::in_file(path.clone(), 4_096).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        for accounts in [accounts, again] {
            assert_eq!(accounts.check("bob", "passw0rd"), Some(2));
            assert_eq!(accounts.check("bob", "passw1rd"), None);
            assert_eq!(accounts.check("eve", "passw0rd"), None);
            assert_eq!(accounts.check("", ""), None);
            assert_eq!(accounts.name(1).as_deref(), Some("ann"));
        }
        assert!(!text.contains("passw0rd"));
        let keys: Vec<&str> = text.lines().map(|line| line.rsplit('$').next().unwrap()).collect();
        assert_ne!(keys[0], keys[1], "each has a salt of its own");
    }
}
