//! The receiving side of one session.

use std::collections::HashMap;
use std::io::Write;

use outlast_tokio::{Route, Status};
use sha2::{Digest as _, Sha256};

use super::message::{Digest, Offer, ROUTE_DATA, ROUTE_DONE, ROUTE_OFFER};
use super::message::{offered_answer, split_data};
use super::store::{Begun, Store};

/// Files that one session may have begun and not completed.
const OPEN_MAX: usize = 16;
/// Files that one session may have begun and given up. Their beginnings stay on the disk.
const LEFT_MAX: usize = 64;

/// Takes files from one session into a store.
pub(crate) struct Receiver<S: Store> {
    store: S,
    open: HashMap<u32, Open<S::File>>,
    /// Files of this session that were begun and given up.
    left: usize,
}

struct Open<F> {
    offer: Offer,
    file: F,
    digest: Sha256,
    offset: u64,
    /// What went wrong with it; said when the sender asks.
    failed: Option<String>,
}

/// A file is whole and in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) offer: Offer,
    /// It was there before.
    pub(crate) already: bool,
}

/// An answer to a request, and what it says about a file that is whole now.
type Answer = (Status, Vec<u8>, Option<Arrived>);

impl<S: Store> Receiver<S> {
    pub(crate) fn new(store: S) -> Self {
        Self { store, open: HashMap::new(), left: 0 }
    }

    /// Whether messages and requests of this route are about files.
    pub(crate) fn serves(route: Route) -> bool {
        matches!(route.get(), ROUTE_OFFER | ROUTE_DATA | ROUTE_DONE)
    }

    /// Answers a request.
    pub(crate) fn request(&mut self, route: Route, payload: &[u8]) -> Answer {
        let answer = match route.get() {
            ROUTE_OFFER => self.offered(payload),
            ROUTE_DONE => self.done(payload),
            _ => return (Status::NO_ROUTE, Vec::new(), None),
        };
        answer.unwrap_or_else(|reason| (Status::APP, reason.into_bytes(), None))
    }

    /// Takes data in. What is wrong with it is said when the file is declared complete.
    pub(crate) fn data(&mut self, payload: &[u8]) {
        let Some((index, offset, data)) = split_data(payload) else {
            return;
        };
        let Some(open) = self.open.get_mut(&index) else {
            return;
        };
        if open.failed.is_some() {
            return;
        }
        let end = offset.saturating_add(data.len() as u64);
        open.failed = if offset != open.offset {
            Some(format!("data for byte {offset} came where {} was next", open.offset))
        } else if end > open.offer.size {
            Some(format!("more data came than the {} bytes offered", open.offer.size))
        } else {
            open.digest.update(data);
            open.offset = end;
            open.file.write_all(data).err().map(|error| format!("cannot write: {error}"))
        };
    }

    /// The sender lost its connection, or is back.
    pub(crate) fn set_away(&mut self, away: bool) {
        for open in self.open.values() {
            self.store.set_away(&open.file, away);
        }
    }

    fn offered(&mut self, payload: &[u8]) -> Result<Answer, String> {
        let offer = Offer::decode(payload).ok_or("the offer makes no sense")?;
        if let Some(open) = self.open.get(&offer.index) {
            if open.offer == offer && open.failed.is_none() && self.store.holds(&open.file) {
                // Asked twice: what came so far need not be read again.
                return Ok((Status::OK, offered_answer(open.offset, false), None));
            }
            self.left += usize::from(open.offset > 0);
        }
        // Another offer of the same number replaces the earlier one, whose file is closed first.
        self.open.remove(&offer.index);
        if self.left >= LEFT_MAX {
            return Err(format!("this session gave up {LEFT_MAX} files that it had begun"));
        }
        if self.open.len() >= OPEN_MAX {
            return Err(format!("{OPEN_MAX} files are begun already: complete one first"));
        }
        match self.store.begin(&offer)? {
            Begun::Whole => {
                let answer = offered_answer(offer.size, true);
                Ok((Status::OK, answer, Some(Arrived { offer, already: true })))
            }
            Begun::From { file, offset, digest } => {
                let index = offer.index;
                let open = Open { offer, file, digest, offset, failed: None };
                self.open.insert(index, open);
                Ok((Status::OK, offered_answer(offset, false), None))
            }
        }
    }

    fn done(&mut self, payload: &[u8]) -> Result<Answer, String> {
        let index: [u8; 4] = payload.try_into().map_err(|_| "the request makes no sense")?;
        let open = self.open.remove(&u32::from_le_bytes(index));
        let Some(open) = open.filter(|open| self.store.holds(&open.file)) else {
            // The sender may not have noticed that it speaks with a new session, or that another
            // one took the file over while it was away. It offers the file again.
            let reason = b"no such file was begun in this session".to_vec();
            return Ok((Status::REFUSED, reason, None));
        };
        if let Some(reason) = open.failed {
            self.left += usize::from(open.offset > 0);
            return Err(reason);
        }
        let Open { offer, file, digest, offset, .. } = open;
        if offset < offer.size {
            self.left += usize::from(offset > 0);
            return Err(format!("{offset} of {} bytes came", offer.size));
        }
        let digest = Digest(digest.finalize().into());
        if digest != offer.digest {
            self.store.discard(&offer, file);
            return Err(format!(
                "the SHA-256 of what came is {digest}, that of the offer {}",
                offer.digest
            ));
        }
        self.store.finish(&offer, file)?;
        Ok((Status::OK, digest.0.to_vec(), Some(Arrived { offer, already: false })))
    }
}
