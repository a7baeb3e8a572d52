//! Every call of the core as a function of its own, for the bound on its stack.
//!
//! `cargo xtask stack` builds this with the compiler's record of stack frames and follows the calls
//! from each function whose name begins with `core_`. The program is never run. What a call returns
//! by value lies with its caller, as always.
#![no_std]
#![no_main]
#![expect(clippy::unit_arg, reason = "whether a call returns something does not matter here")]

use core::hint::black_box;
use core::panic::PanicInfo;

use outlast_core::auth::{
    AuthContext, Secret, SessionKey, TokenDigest, resume_proof, shared_key_client_proof,
    verify_resume_proof,
};
use outlast_core::client::{Action, Attempt, Closed, Dialer};
use outlast_core::wire::{Close, Frame, Grant, Header, Hello, RequestId, Resume, Route, Status};
use outlast_core::{
    Accepted, Acceptor, Attach, CloseCode, Config, ConfigError, Event, Greeting, Head, Instant,
    Parts, Position, Restored, SendError, Session, SnapshotError, StateError, Violation,
};

#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::nop();
    }
}

/// A function that the linker keeps under its name.
macro_rules! entry {
    ($name:ident $(<$life:lifetime>)?, ($($arg:ident: $type:ty),*) -> $ret:ty, $body:expr) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        fn $name $(<$life>)? ($($arg: $type),*) -> $ret {
            $body
        }
    };
}

entry!(
    core_client,
    (config: Config, ring: &'static mut [u8]) -> Result<Session<&'static mut [u8]>, ConfigError>,
    Session::client(config, ring)
);
entry!(
    core_server,
    (
        now: Instant,
        config: Config,
        hello: &Hello<'_>,
        grant: Grant,
        ring: &'static mut [u8],
        out: &mut [u8]
    ) -> Result<Accepted<&'static mut [u8]>, CloseCode>,
    Session::server(now, config, hello, grant, 7, ring, out)
);
entry!(
    core_restore,
    (
        config: Config,
        bytes: &'static [u8],
        ring: &'static mut [u8]
    ) -> Result<Restored<'static, &'static mut [u8]>, SnapshotError>,
    Session::restore(config, bytes, false, ring)
);
entry!(
    core_renew,
    (session: &mut Session<[u8]>, config: Config) -> Result<(), ConfigError>,
    session.renew(config)
);
entry!(
    core_renew_server,
    (
        session: &mut Session<[u8]>,
        now: Instant,
        config: Config,
        hello: &Hello<'_>,
        grant: Grant,
        out: &mut [u8]
    ) -> Result<usize, CloseCode>,
    session.renew_server(now, config, hello, grant, 7, out)
);
entry!(
    core_attach,
    (
        session: &mut Session<[u8]>,
        now: Instant,
        with: &Attach<'_>,
        out: &mut [u8]
    ) -> Result<usize, StateError>,
    session.attach(now, with, out)
);
entry!(
    core_accept,
    (
        session: &mut Session<[u8]>,
        now: Instant,
        hello: &Hello<'_>,
        out: &mut [u8]
    ) -> Result<usize, CloseCode>,
    session.accept(now, hello, 7, out)
);
entry!(
    core_fence,
    (session: &mut Session<[u8]>, now: Instant, out: &mut [u8]) -> usize,
    session.fence(now, out)
);
entry!(core_detach, (session: &mut Session<[u8]>, now: Instant) -> (), session.detach(now));
entry!(
    core_authenticate,
    (session: &mut Session<[u8]>, data: &[u8], out: &mut [u8]) -> Result<usize, StateError>,
    session.authenticate(data, out)
);
entry!(
    core_handle_input<'b>,
    (
        session: &mut Session<[u8]>,
        now: Instant,
        input: &mut &'b [u8]
    ) -> Result<Option<Event<'b>>, Violation>,
    session.handle_input(now, input)
);
entry!(
    core_handle_partial,
    (session: &mut Session<[u8]>, now: Instant) -> (),
    session.handle_partial(now)
);
entry!(
    core_handle_timeout,
    (session: &mut Session<[u8]>, now: Instant) -> (),
    session.handle_timeout(now)
);
entry!(
    core_handle_transmitted,
    (session: &mut Session<[u8]>, now: Instant, count: usize) -> (),
    session.handle_transmitted(now, count)
);
entry!(
    core_poll_transmit,
    (session: &mut Session<[u8]>, now: Instant, out: &mut [u8]) -> usize,
    session.poll_transmit(now, out)
);
entry!(
    core_poll_transmit_parts<'a>,
    (session: &'a mut Session<[u8]>, now: Instant, control: &'a mut [u8]) -> Parts<'a>,
    session.poll_transmit_parts(now, control)
);
entry!(core_poll_timeout, (session: &Session<[u8]>) -> Option<Instant>, session.poll_timeout());
entry!(core_next_deadline, (session: &Session<[u8]>) -> Option<Instant>, session.next_deadline());
entry!(
    core_release,
    (session: &mut Session<[u8]>, now: Instant, position: Position) -> (),
    session.release(now, position)
);
entry!(
    core_send,
    (session: &mut Session<[u8]>, route: Route, payload: &[u8]) -> Result<Position, SendError>,
    session.send(route, payload)
);
entry!(
    core_request,
    (session: &mut Session<[u8]>, id: RequestId, payload: &[u8]) -> Result<Position, SendError>,
    session.request(id, Route::from(7_u8), payload)
);
entry!(
    core_respond,
    (session: &mut Session<[u8]>, id: RequestId, payload: &[u8]) -> Result<Position, SendError>,
    session.respond(id, Status::OK, payload)
);
entry!(
    core_cancel,
    (session: &mut Session<[u8]>, id: RequestId) -> Result<Position, SendError>,
    session.cancel(id, 1)
);
entry!(
    core_begin,
    (session: &mut Session<[u8]>, head: Head, payload: &[u8]) -> Result<Position, SendError>,
    session.begin(head, payload)
);
entry!(
    core_push_fragment,
    (session: &mut Session<[u8]>, payload: &[u8], last: bool) -> Result<Position, SendError>,
    session.push_fragment(payload, last)
);
entry!(core_abort, (session: &mut Session<[u8]>) -> Result<Position, SendError>, session.abort());
entry!(
    core_send_encoded,
    (session: &mut Session<[u8]>, frames: &[u8]) -> Result<usize, (usize, SendError)>,
    session.send_encoded(frames)
);
entry!(
    core_note,
    (
        session: &mut Session<[u8]>,
        now: Instant,
        payload: &[u8],
        out: &mut [u8]
    ) -> Result<usize, SendError>,
    session.note(now, Route::from(7_u8), payload, out)
);
entry!(core_finish, (session: &mut Session<[u8]>) -> Result<Position, SendError>, session.finish());
entry!(
    core_close,
    (session: &mut Session<[u8]>, now: Instant, code: CloseCode) -> (),
    session.close(now, code, 0)
);
entry!(
    core_end,
    (session: &mut Session<[u8]>, now: Instant, code: CloseCode) -> (),
    session.end(now, code)
);
entry!(core_kill, (session: &mut Session<[u8]>, code: CloseCode) -> (), session.kill(code));
entry!(
    core_rotate_key,
    (session: &mut Session<[u8]>, key: [u8; 16]) -> Result<Position, SendError>,
    session.rotate_key(2, key)
);
entry!(
    core_snapshot,
    (session: &Session<[u8]>, partial: &[u8], out: &mut [u8]) -> Result<usize, SnapshotError>,
    session.snapshot(7, partial, out)
);
entry!(
    core_export,
    (session: &mut Session<[u8]>, out: &mut [u8]) -> Result<usize, SnapshotError>,
    session.export(7, &[], out)
);
entry!(
    core_drain,
    (session: &mut Session<[u8]>, now: Instant, code: CloseCode) -> Result<(), StateError>,
    session.drain(now, code, 7, 7)
);
entry!(
    core_drain_to,
    (
        session: &mut Session<[u8]>,
        now: Instant,
        code: CloseCode,
        address: &[u8],
        out: &mut [u8]
    ) -> Result<usize, StateError>,
    session.drain_to(now, code, (7, 7), address, out)
);
entry!(
    core_acceptor_challenge,
    (acceptor: &mut Acceptor, data: &[u8], out: &mut [u8]) -> Result<usize, StateError>,
    acceptor.challenge(data, out)
);
entry!(
    core_acceptor_refuse,
    (acceptor: &mut Acceptor, close: &Close<'_>, out: &mut [u8]) -> usize,
    acceptor.refuse(close, out)
);
entry!(
    core_acceptor_input<'b>,
    (
        acceptor: &mut Acceptor,
        now: Instant,
        input: &mut &'b [u8]
    ) -> Result<Option<Greeting<'b>>, Violation>,
    acceptor.handle_input(now, input)
);
entry!(
    core_dialer_action,
    (dialer: &mut Dialer, now: Instant) -> Option<Action>,
    dialer.poll_action(now)
);
entry!(
    core_dialer_close,
    (dialer: &mut Dialer, now: Instant, attempt: Attempt, closed: Closed) -> (),
    dialer.handle_close(now, attempt, closed)
);
entry!(
    core_frame_decode<'b>,
    (header: Header, body: &'b [u8]) -> Result<Frame<'b>, CloseCode>,
    Frame::decode(header, body)
);
entry!(core_frame_encode, (frame: &Frame<'_>, out: &mut [u8]) -> Option<usize>, frame.encode(out));
entry!(
    core_resume_proof,
    (key: &SessionKey, claim: &Resume) -> [u8; 16],
    resume_proof(key, claim, &[])
);
entry!(
    core_verify_resume_proof,
    (key: &SessionKey, claim: &Resume) -> bool,
    verify_resume_proof(key, claim, &[], false)
);
entry!(
    core_shared_key_proof,
    (key: &Secret, nonces: &[[u8; 16]; 2], context: &AuthContext<'_>) -> [u8; 32],
    shared_key_client_proof(key, &nonces[0], &nonces[1], context)
);
entry!(core_token_digest, (token: &[u8]) -> TokenDigest, TokenDigest::of(token));

/// Negative controls: what the bound must not overlook.
#[cfg(feature = "planted")]
mod planted {
    use super::black_box;

    entry!(core_planted_frame, (seed: u8) -> u8, {
        let mut array = black_box([seed; 600]);
        black_box(&mut array)[usize::from(seed)]
    });
    entry!(core_planted_recursion, (depth: u32) -> u32, {
        if depth == 0 { 0 } else { {
            let below = black_box(core_planted_recursion(black_box(depth - 1)));
            below + core_planted_recursion(black_box(depth / 2))
        } }
    });
    entry!(core_planted_indirect, (call: fn(u8) -> u8) -> u8, black_box(call)(1) + 1);

    pub(super) fn call() {
        black_box(core_planted_frame(black_box(1)));
        black_box(core_planted_recursion(black_box(3)));
        black_box(core_planted_indirect(black_box(core_planted_frame)));
    }
}

/// A value that exists nowhere; this program is only linked.
fn any<T>() -> T {
    // SAFETY: nothing runs this.
    unsafe { black_box(core::ptr::null::<T>()).read() }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    calls();
    #[cfg(feature = "planted")]
    planted::call();
    loop {
        cortex_m::asm::nop();
    }
}

fn keep<T>(value: T) {
    black_box(&value);
}

#[inline(never)]
fn calls() {
    keep(core_client(any(), any()));
    keep(core_server(any(), any(), any(), any(), any(), any()));
    keep(core_restore(any(), any(), any()));
    keep(core_renew(any(), any()));
    keep(core_renew_server(any(), any(), any(), any(), any(), any()));
    keep(core_attach(any(), any(), any(), any()));
    keep(core_accept(any(), any(), any(), any()));
    keep(core_fence(any(), any(), any()));
    keep(core_detach(any(), any()));
    keep(core_authenticate(any(), any(), any()));
    keep(core_handle_input(any(), any(), any()));
    keep(core_handle_partial(any(), any()));
    keep(core_handle_timeout(any(), any()));
    keep(core_handle_transmitted(any(), any(), any()));
    keep(core_poll_transmit(any(), any(), any()));
    keep(core_poll_transmit_parts(any(), any(), any()));
    keep(core_poll_timeout(any()));
    keep(core_next_deadline(any()));
    keep(core_release(any(), any(), any()));
    keep(core_send(any(), any(), any()));
    keep(core_request(any(), any(), any()));
    keep(core_respond(any(), any(), any()));
    keep(core_cancel(any(), any()));
    keep(core_begin(any(), any(), any()));
    keep(core_push_fragment(any(), any(), any()));
    keep(core_abort(any()));
    keep(core_send_encoded(any(), any()));
    keep(core_note(any(), any(), any(), any()));
    keep(core_finish(any()));
    keep(core_close(any(), any(), any()));
    keep(core_end(any(), any(), any()));
    keep(core_kill(any(), any()));
    keep(core_rotate_key(any(), any()));
    keep(core_snapshot(any(), any(), any()));
    keep(core_export(any(), any()));
    keep(core_drain(any(), any(), any()));
    keep(core_drain_to(any(), any(), any(), any(), any()));
    keep(core_acceptor_challenge(any(), any(), any()));
    keep(core_acceptor_refuse(any(), any(), any()));
    keep(core_acceptor_input(any(), any(), any()));
    keep(core_dialer_action(any(), any()));
    keep(core_dialer_close(any(), any(), any(), any()));
    keep(core_frame_decode(any(), any()));
    keep(core_frame_encode(any(), any()));
    keep(core_resume_proof(any(), any()));
    keep(core_verify_resume_proof(any(), any()));
    keep(core_shared_key_proof(any(), any(), any()));
    keep(core_token_digest(any()));
}
