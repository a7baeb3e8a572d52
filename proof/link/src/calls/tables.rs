//! What decides over many sessions and over dialling.

use core::hint::black_box;

use outlast_core::CloseCode;
use outlast_core::client::{Action, Closed, Dialer, DialerConfig};
use outlast_core::registry::{Admission, Entropy, Entry, Parting, Peer, Registry, RegistryConfig};
use outlast_core::wire::Hello;

use super::{keep, now, word};

pub(super) fn all(input: &[u8]) -> usize {
    dialer(input).wrapping_add(registry(input))
}

fn dialer(input: &[u8]) -> usize {
    let word = word(input);
    let mut dialer = Dialer::new(black_box(DialerConfig::default()), word);
    dialer.handle_start(now(word), word & 1 == 0);
    let mut kept = 0;
    while let Some(action) = black_box(&mut dialer).poll_action(now(word)) {
        kept = keep(action).wrapping_add(kept);
        let Action::Dial(dial) = action else { continue };
        let attempt = dial.attempt;
        dialer.handle_transport(attempt);
        black_box(&mut dialer).handle_welcome(now(word), attempt, word & 2 == 0);
        black_box(&mut dialer).handle_progress(attempt);
        black_box(&mut dialer).handle_drain(now(word), attempt, word as u32, word & 4 == 0);
        let closed = Closed::by(CloseCode::new(word as u16));
        black_box(&mut dialer).handle_close(now(word), attempt, closed);
        black_box(&mut dialer).handle_failure(now(word), attempt);
        dialer.handle_hint();
    }
    dialer.handle_stop();
    kept.wrapping_add(keep((dialer.poll_timeout(), dialer.state(), dialer.failures())))
}

fn registry(input: &[u8]) -> usize {
    let Ok(hello) = Hello::decode(input) else {
        return 0;
    };
    let word = word(input);
    let (now, peer) = (now(word), peer(input));
    let config = black_box(RegistryConfig::default());
    let mut sessions = Registry::new(config, word, [Entry::EMPTY; 4]);
    let entropy = Entropy { sid: word, key: [word as u8; 16] };
    let sessions: &mut Registry<[Entry]> = black_box(&mut sessions);
    let lease = match sessions.admit(now, &hello, &peer, entropy) {
        Ok(Admission::New { lease, .. } | Admission::Resume { lease, .. }) => lease,
        Err(refusal) => return keep(refusal.close()),
    };
    let parting = Parting { rx_next: word, finished: word & 1 == 0 };
    let code = CloseCode::new(word as u16);
    keep(black_box(&mut *sessions).confirmed(lease))
        .wrapping_add(keep(sessions.rotate(lease, [word as u8; 16])))
        .wrapping_add(keep(black_box(&mut *sessions).abandon_key(lease, word as u8)))
        .wrapping_add(keep(black_box(&mut *sessions).confirm_key(lease, word as u8)))
        .wrapping_add(keep(black_box(&mut *sessions).detached(now, lease, parting)))
        .wrapping_add(keep(black_box(&mut *sessions).ended(now, lease, code, word)))
        .wrapping_add(keep(black_box(&mut *sessions).poll_expired(now)))
        .wrapping_add(keep(sessions.poll_timeout()))
        .wrapping_add(keep((sessions.state(lease.index()), sessions.sid(lease.index()))))
}

fn peer(input: &[u8]) -> Peer<'_> {
    let word = word(input);
    Peer { principal: Some(word), source: word, channel_binding: input, encrypted: word & 1 == 0 }
}
