//! The server's side: whom it knows, and one exchange.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use outlast_core::auth::{
    AuthContext, AuthStep, METHOD_PASSWORD, Secret, Verdict, Verifier, sha256,
};

use super::message::{Challenge, First, channel, encode64, header, split_proof};
use super::stored::{StoredPassword, bytes};
use super::{MAX_NAME, PasswordError, checked, hmac, same, secret, xor};
use crate::auth::Authenticator;
use crate::entropy::fill;

type Lookup = dyn Fn(&str) -> Option<(StoredPassword, u64)> + Send + Sync;

/// Users who let in by their passwords, each as a principal (0: nobody in particular).
///
/// ```
/// use outlast_service::{Passwords, StoredPassword};
///
/// let ada = StoredPassword::with_iterations("correct horse", 4_096)?;
/// // In a file or a table: the password itself is nowhere.
/// let kept = ada.to_text();
/// let users = Passwords::new([("ada", kept.parse::<StoredPassword>()?, 41)]);
/// # let _ = users;
/// # Ok::<(), outlast_service::PasswordError>(())
/// ```
///
/// A name that is not known is answered like one that is, with a salt that is always the same for
/// it; set [`secret`](Self::secret), so that this outlasts the server.
#[derive(Clone)]
pub struct Passwords {
    known: Arc<Lookup>,
    secret: Secret,
    /// What a name that is not known is said to take.
    iterations: u32,
    plaintext: bool,
}

//= AUT-14
impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(..)")
    }
}

impl Passwords {
    /// These users, by their names, over encrypted transports only. If two have one name, the last
    /// counts.
    #[must_use]
    pub fn new<N: Into<String>>(users: impl IntoIterator<Item = (N, StoredPassword, u64)>) -> Self {
        let mut counts = Vec::new();
        let mut named: HashMap<String, (StoredPassword, u64)> = HashMap::new();
        for (name, stored, whose) in users {
            counts.push(stored.iterations);
            named.insert(name.into(), (stored, whose));
        }
        counts.sort_unstable();
        let usual = counts.get(counts.len() / 2).copied();
        let mut made = Self::by(move |name| named.get(name).cloned());
        made.iterations = usual.unwrap_or(StoredPassword::ITERATIONS);
        made
    }

    /// Asks `known` for a user's keys and principal, for each exchange; it must not block, and
    /// should take as long for a name that is not known.
    #[must_use]
    pub fn by(
        known: impl Fn(&str) -> Option<(StoredPassword, u64)> + Send + Sync + 'static,
    ) -> Self {
        let mut random = [0; 32];
        fill(&mut random);
        let (known, secret) = (Arc::new(known), secret(&random));
        Self { known, secret, iterations: StoredPassword::ITERATIONS, plaintext: false }
    }

    /// Makes what is answered for names that are not known from this secret, and not from one that
    /// is drawn when the server starts. Who asks before and after a restart could tell them apart
    /// otherwise.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = secret;
        self
    }

    /// Sets how many iterations a name is said to take that is not known: as many as most of the
    /// others do, 4,096 to 10,000,000; 100,000 with [`by`](Self::by).
    ///
    /// # Errors
    ///
    /// [`PasswordError::Iterations`]: no name that is known takes as few or as many, so that each
    /// could be told from one that is not.
    pub fn usual_iterations(mut self, iterations: u32) -> Result<Self, PasswordError> {
        self.iterations = checked(iterations)?;
        Ok(self)
    }

    /// Over any transport: whoever records an exchange can guess at the password at leisure.
    #[must_use]
    pub const fn allow_plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    pub(super) fn exchange(&self, nonce: String) -> PasswordVerifier {
        PasswordVerifier { users: self.clone(), nonce, state: State::Start }
    }

    /// The keys of this name, and whose they are if anybody's.
    //= AUT-18
    fn keys(&self, name: &str) -> (StoredPassword, Option<u64>) {
        let nobody = StoredPassword::of_nobody(name, &self.secret, self.iterations);
        (self.known)(name).map_or((nobody, None), |(stored, whose)| (stored, Some(whose)))
    }
}

impl Authenticator for Passwords {
    fn verifier(&self, _: Option<SocketAddr>) -> Box<dyn Verifier + Send> {
        Box::new(self.exchange(nonce()))
    }
}

/// Printable, and never twice.
pub(super) fn nonce() -> String {
    let mut random = [0; 18];
    fill(&mut random);
    encode64(&random)
}

/// One exchange.
pub(super) struct PasswordVerifier {
    users: Passwords,
    nonce: String,
    state: State,
}

enum State {
    Start,
    Challenged(Box<Asked>),
    Over,
}

/// What was asked, and what the answer is judged by.
struct Asked {
    stored: StoredPassword,
    whose: Option<u64>,
    /// Both nonces.
    nonce: String,
    /// What the client said first, without its header, and what it was answered.
    first: String,
    challenge: String,
}

impl PasswordVerifier {
    fn challenge(&self, context: &AuthContext<'_>, data: &[u8]) -> Option<Asked> {
        let text = std::str::from_utf8(data).ok()?;
        let bare = text.strip_prefix(header(context.channel_binding))?;
        let first = First::read(bare).filter(|first| first.name.len() <= MAX_NAME)?;
        let nonce = first.nonce + &self.nonce;
        let (stored, whose) = self.users.keys(&first.name);
        let challenge = Challenge::write(&nonce, &stored.salt, stored.iterations);
        Some(Asked { stored, whose, nonce, first: bare.to_owned(), challenge })
    }
}

impl Asked {
    /// The server's last message, if the client's is right.
    //= AUT-16
    fn judge(&self, context: &AuthContext<'_>, data: &[u8]) -> Option<(u64, String)> {
        let (front, proof) = split_proof(std::str::from_utf8(data).ok()?)?;
        if front != format!("c={},r={}", channel(context.channel_binding), self.nonce) {
            return None;
        }
        let said = format!("{},{},{front}", self.first, self.challenge);
        let stored = bytes(&self.stored.stored);
        let client_key = xor(&proof, &hmac(&stored, &[said.as_bytes()]));
        let fits = same(sha256(&client_key), stored);
        let answer = hmac(self.stored.server.expose(), &[said.as_bytes()]);
        let whose = self.whose.filter(|_| fits)?;
        Some((whose, format!("v={}", encode64(&answer))))
    }
}

impl Verifier for PasswordVerifier {
    fn handle_step(
        &mut self,
        context: &AuthContext<'_>,
        step: AuthStep<'_>,
        out: &mut [u8],
    ) -> Verdict {
        let state = std::mem::replace(&mut self.state, State::Over);
        if step.method != METHOD_PASSWORD || !(context.encrypted || self.users.plaintext) {
            return Verdict::Deny;
        }
        match state {
            State::Start => {
                let Some(asked) = self.challenge(context, step.data) else {
                    return Verdict::Deny;
                };
                let written = put(out, &asked.challenge);
                self.state = State::Challenged(Box::new(asked));
                written.map_or(Verdict::Deny, Verdict::Continue)
            }
            State::Challenged(asked) => {
                let judged = asked.judge(context, step.data);
                let accepted = judged.and_then(|(principal, answer)| {
                    Some(Verdict::Accept { principal, reply: put(out, &answer)? })
                });
                accepted.unwrap_or(Verdict::Deny)
            }
            State::Over => Verdict::Deny,
        }
    }
}

/// Copies `text` to the front of `out`; `None` if it does not fit.
pub(super) fn put(out: &mut [u8], text: &str) -> Option<usize> {
    out.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some(text.len())
}
