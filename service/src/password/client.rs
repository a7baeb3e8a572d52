//! The client's side.

use std::fmt;
use std::sync::{Arc, Mutex};

use outlast_core::auth::{AuthContext, METHOD_PASSWORD, Prover, Reply, sha256};

use super::message::{Challenge, First, channel, decode64, encode64, header};
use super::server::{nonce, put};
use super::stored::{Keys, bytes};
use super::{MAX_NAME, MIN_ITERATIONS, PasswordError, checked, hmac, same, xor};
use crate::auth::{Credentials, Hidden};
use crate::overview::lock;

/// A user's name and password, which the server is never shown.
///
/// What the server's salt makes of the password is computed once, in the task that dials, and kept
/// for the connections to come. A server that wants less than 4,096 iterations, or more than
/// [`most_iterations`](Self::most_iterations), is not answered.
#[derive(Clone)]
pub struct Password {
    name: Arc<str>,
    password: Arc<Hidden>,
    most: u32,
    plaintext: bool,
    kept: Arc<Mutex<Option<Kept>>>,
}

/// What was made of the password, and for which salt.
struct Kept {
    salt: Vec<u8>,
    iterations: u32,
    keys: Keys,
}

/// Iterations that a server may ask for unless somebody says otherwise.
const MOST: u32 = 1_000_000;

//= AUT-14
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Password {
    /// The user `name` with `password`, 1 to 255 bytes each, over encrypted transports only.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Length`].
    pub fn new(
        name: impl Into<Arc<str>>,
        password: impl Into<Vec<u8>>,
    ) -> Result<Self, PasswordError> {
        let (name, password) = (name.into(), Hidden(password.into()));
        let fits = |len: usize| (1..=MAX_NAME).contains(&len);
        if !fits(name.len()) || !fits(password.0.len()) {
            return Err(PasswordError::Length);
        }
        let (password, kept) = (Arc::new(password), Arc::default());
        Ok(Self { name, password, most: MOST, plaintext: false, kept })
    }

    /// Sets how many iterations a server may ask for, 4,096 to 10,000,000; 1,000,000 otherwise,
    /// which take some tenths of a second.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Iterations`].
    pub fn most_iterations(mut self, most: u32) -> Result<Self, PasswordError> {
        self.most = checked(most)?;
        Ok(self)
    }

    /// Over any transport: whoever records an exchange can guess at the password at leisure.
    #[must_use]
    pub const fn allow_plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    pub(super) fn exchange(&self, nonce: String) -> PasswordProver {
        PasswordProver { user: self.clone(), nonce, state: State::Start }
    }

    /// Whether somebody has the lock of what is kept.
    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.kept.try_lock().is_err()
    }

    /// The keys for this salt. Making them takes long, and nobody else waits meanwhile: two who
    /// need the same at the same time both make them.
    pub(super) fn keys(
        &self,
        challenge: &Challenge,
        make: impl FnOnce(&[u8], &[u8], u32) -> Keys,
    ) -> Keys {
        let (salt, iterations) = (&challenge.salt, challenge.iterations);
        let fits = |known: &&Kept| known.salt == *salt && known.iterations == iterations;
        if let Some(known) = lock(&self.kept).as_ref().filter(fits) {
            return known.keys.clone();
        }
        let keys = make(&self.password.0, salt, iterations);
        let kept = Kept { salt: salt.clone(), iterations, keys: keys.clone() };
        *lock(&self.kept) = Some(kept);
        keys
    }
}

impl Credentials for Password {
    fn prover(&self) -> Box<dyn Prover + Send> {
        Box::new(self.exchange(nonce()))
    }
}

/// One exchange.
pub(super) struct PasswordProver {
    user: Password,
    nonce: String,
    state: State,
}

enum State {
    Start,
    Asked,
    /// The answer that the right server gives.
    Proved([u8; 32]),
    Satisfied,
    Broken,
}

impl PasswordProver {
    /// The last message, and what the server has to answer.
    fn prove(&self, context: &AuthContext<'_>, data: &[u8]) -> Option<(String, [u8; 32])> {
        let text = std::str::from_utf8(data).ok()?;
        let challenge = Challenge::read(text)?;
        let is_ours = challenge.nonce.strip_prefix(&self.nonce).is_some_and(|own| !own.is_empty());
        let is_fair = (MIN_ITERATIONS..=self.user.most).contains(&challenge.iterations);
        if !is_ours || !is_fair {
            return None;
        }
        let keys = self.user.keys(&challenge, Keys::of);
        let first = First::write(&self.user.name, &self.nonce);
        let front = format!("c={},r={}", channel(context.channel_binding), challenge.nonce);
        let said = format!("{first},{text},{front}");
        let client = bytes(&keys.client);
        let proof = xor(&client, &hmac(&sha256(&client), &[said.as_bytes()]));
        let expected = hmac(keys.server.expose(), &[said.as_bytes()]);
        Some((format!("{front},p={}", encode64(&proof)), expected))
    }
}

impl Prover for PasswordProver {
    fn method(&self) -> u8 {
        METHOD_PASSWORD
    }

    fn start(&mut self, context: &AuthContext<'_>, out: &mut [u8]) -> Option<usize> {
        if !(context.encrypted || self.user.plaintext) {
            return None;
        }
        self.state = State::Asked;
        let first = First::write(&self.user.name, &self.nonce);
        put(out, &format!("{}{first}", header(context.channel_binding)))
    }

    //= AUT-17
    fn handle_step(&mut self, context: &AuthContext<'_>, data: &[u8], out: &mut [u8]) -> Reply {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Asked => {
                let Some((last, expected)) = self.prove(context, data) else {
                    return Reply::Refuse;
                };
                self.state = State::Proved(expected);
                put(out, &last).map_or(Reply::Refuse, Reply::Send)
            }
            State::Proved(expected) => {
                let text = std::str::from_utf8(data).ok();
                let shown = text.and_then(|text| decode64(text.strip_prefix("v=")?));
                let shown = shown.and_then(|shown| <[u8; 32]>::try_from(shown).ok());
                if shown.is_some_and(|shown| same(shown, expected)) {
                    self.state = State::Satisfied;
                    return Reply::Wait;
                }
                Reply::Refuse
            }
            State::Start | State::Satisfied | State::Broken => Reply::Refuse,
        }
    }

    fn is_satisfied(&self) -> bool {
        matches!(self.state, State::Satisfied)
    }
}
