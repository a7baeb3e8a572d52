//! A session, and what is kept of one.

use outlast_core::registry::Stored;
use outlast_core::state::{LinkState, SessionState};
use outlast_core::wire::{Grant, Hello, RequestId, Route, Status};
use outlast_core::{
    Accepted, Attach, CloseCode, Config, ConfigError, Death, Event, Fate, Head, Instant, Parts,
    Position, Restored, Role, SendError, Session, SnapshotError, StateError, Stats, Violation,
};

/// What a session takes besides the memory for its frames, where that is borrowed.
const SESSION_MAX: usize = if usize::BITS == 32 { 384 } else { 400 };
const _: () = assert!(size_of::<Session<&'static mut [u8]>>() <= SESSION_MAX);

entries! {
    fn core_session_attach(
        session: &mut Session<[u8]>,
        now: Instant,
        with: &Attach<'_>,
        out: &mut [u8],
    ) -> Result<usize, StateError> {
        Session::attach(session, now, with, out)
    }
    fn core_attach_hello_len(with: &Attach<'_>) -> Result<usize, ConfigError> {
        Attach::hello_len(with)
    }
    fn core_session_accept(
        session: &mut Session<[u8]>,
        now: Instant,
        hello: &Hello<'_>,
        seed: u32,
        out: &mut [u8],
    ) -> Result<usize, CloseCode> {
        Session::accept(session, now, hello, seed, out)
    }
    fn core_session_fence(session: &mut Session<[u8]>, now: Instant, out: &mut [u8]) -> usize {
        Session::fence(session, now, out)
    }
    fn core_session_detach(session: &mut Session<[u8]>, now: Instant) {
        Session::detach(session, now)
    }
    fn core_session_authenticate(
        session: &mut Session<[u8]>,
        data: &[u8],
        out: &mut [u8],
    ) -> Result<usize, StateError> {
        Session::authenticate(session, data, out)
    }
    fn core_session_trust_server(session: &mut Session<[u8]>) { Session::trust_server(session) }
    fn core_session_poll_timeout(session: &Session<[u8]>) -> Option<Instant> {
        Session::poll_timeout(session)
    }
    fn core_session_next_deadline(session: &Session<[u8]>) -> Option<Instant> {
        Session::next_deadline(session)
    }
    fn core_session_handle_timeout(session: &mut Session<[u8]>, now: Instant) {
        Session::handle_timeout(session, now)
    }
    fn core_session_finish(session: &mut Session<[u8]>) -> Result<Position, SendError> {
        Session::finish(session)
    }
    fn core_session_close(
        session: &mut Session<[u8]>,
        now: Instant,
        code: CloseCode,
        retry_ms: u32,
    ) {
        Session::close(session, now, code, retry_ms)
    }
    fn core_session_end(session: &mut Session<[u8]>, now: Instant, code: CloseCode) {
        Session::end(session, now, code)
    }
    fn core_session_kill(session: &mut Session<[u8]>, code: CloseCode) {
        Session::kill(session, code)
    }
    fn core_session_drain(
        session: &mut Session<[u8]>,
        now: Instant,
        code: CloseCode,
        grace_ms: u32,
        spread_ms: u32,
    ) -> Result<(), StateError> {
        Session::drain(session, now, code, grace_ms, spread_ms)
    }
    fn core_session_drain_to(
        session: &mut Session<[u8]>,
        now: Instant,
        code: CloseCode,
        times: (u32, u32),
        address: &[u8],
        out: &mut [u8],
    ) -> Result<usize, StateError> {
        Session::drain_to(session, now, code, times, address, out)
    }
    fn core_session_handle_message<'b>(
        session: &mut Session<[u8]>,
        now: Instant,
        input: &mut &'b [u8],
    ) -> Option<(Route, &'b [u8])> {
        Session::handle_message(session, now, input)
    }
    fn core_session_handle_input<'b>(
        session: &mut Session<[u8]>,
        now: Instant,
        input: &mut &'b [u8],
    ) -> Result<Option<Event<'b>>, Violation> {
        Session::handle_input(session, now, input)
    }
    fn core_session_handle_partial(session: &mut Session<[u8]>, now: Instant) {
        Session::handle_partial(session, now)
    }
    fn core_session_release(session: &mut Session<[u8]>, now: Instant, position: Position) {
        Session::release(session, now, position)
    }
    fn core_session_rotate_key(
        session: &mut Session<[u8]>,
        key_id: u8,
        key: [u8; 16],
    ) -> Result<Position, SendError> {
        Session::rotate_key(session, key_id, key)
    }
    fn core_session_client(
        config: Config,
        storage: &'static mut [u8],
    ) -> Result<Session<&'static mut [u8]>, ConfigError> {
        Session::client(config, storage)
    }
    fn core_session_renew(
        session: &mut Session<[u8]>,
        config: Config,
    ) -> Result<(), ConfigError> {
        Session::renew(session, config)
    }
    fn core_session_state(session: &Session<[u8]>) -> SessionState { Session::state(session) }
    fn core_session_link_state(session: &Session<[u8]>) -> LinkState {
        Session::link_state(session)
    }
    fn core_session_role(session: &Session<[u8]>) -> Role { Session::role(session) }
    fn core_session_id(session: &Session<[u8]>) -> Option<u64> { Session::id(session) }
    fn core_session_attach_count(session: &Session<[u8]>) -> u32 {
        Session::attach_count(session)
    }
    fn core_session_death(session: &Session<[u8]>) -> Option<Death> { Session::death(session) }
    fn core_session_fate(session: &Session<[u8]>, position: Position) -> Fate {
        Session::fate(session, position)
    }
    fn core_session_open_requests(session: &Session<[u8]>) -> Option<RequestId> {
        Session::open_requests(session).next()
    }
    fn core_session_open_requests_in(session: &Session<[u8]>) -> Option<RequestId> {
        Session::open_requests_in(session).next()
    }
    fn core_session_stats(session: &Session<[u8]>) -> Stats { Session::stats(session) }
    fn core_session_acknowledged(session: &Session<[u8]>) -> Position {
        Session::acknowledged(session)
    }
    fn core_session_sent(session: &Session<[u8]>) -> Position { Session::sent(session) }
    fn core_session_transmitted(session: &Session<[u8]>) -> Position {
        Session::transmitted(session)
    }
    fn core_session_received(session: &Session<[u8]>) -> Position { Session::received(session) }
    fn core_session_released(session: &Session<[u8]>) -> Position { Session::released(session) }
    fn core_session_room(session: &Session<[u8]>) -> usize { Session::room(session) }
    fn core_session_unacknowledged(session: &Session<[u8]>) -> usize {
        Session::unacknowledged(session)
    }
    fn core_session_retained(session: &Session<[u8]>, from: Position) -> [&[u8]; 2] {
        Session::retained(session, from)
    }
    fn core_session_has_open_message(session: &Session<[u8]>) -> bool {
        Session::has_open_message(session)
    }
    fn core_session_shrink(session: &mut Session<[u8]>) { Session::shrink(session) }
    fn core_session_held_bytes(session: &Session<[u8]>) -> usize {
        Session::held_bytes(session)
    }
    fn core_session_rtt_us(session: &Session<[u8]>) -> u32 { Session::rtt_us(session) }
    fn core_session_max_body(session: &Session<[u8]>) -> u16 { Session::max_body(session) }
    fn core_session_max_message(session: &Session<[u8]>) -> u32 {
        Session::max_message(session)
    }
    fn core_session_max_requests(session: &Session<[u8]>) -> u16 {
        Session::max_requests(session)
    }
    fn core_session_retention_s(session: &Session<[u8]>) -> u32 {
        Session::retention_s(session)
    }
    fn core_session_is_confirmed(session: &Session<[u8]>) -> bool {
        Session::is_confirmed(session)
    }
    fn core_session_is_closing(session: &Session<[u8]>) -> bool { Session::is_closing(session) }
    fn core_session_grant(session: &Session<[u8]>) -> Grant { Session::grant(session) }
    fn core_session_server(
        now: Instant,
        config: Config,
        hello: &Hello<'_>,
        grant: Grant,
        seed: u32,
        storage: &'static mut [u8],
        out: &mut [u8],
    ) -> Result<Accepted<&'static mut [u8]>, CloseCode> {
        Session::server(now, config, hello, grant, seed, storage, out)
    }
    fn core_session_renew_server(
        session: &mut Session<[u8]>,
        now: Instant,
        config: Config,
        hello: &Hello<'_>,
        grant: Grant,
        seed: u32,
        out: &mut [u8],
    ) -> Result<usize, CloseCode> {
        Session::renew_server(session, now, config, hello, grant, seed, out)
    }
    fn core_parts_is_empty(parts: &Parts<'_>) -> bool { Parts::is_empty(parts) }
    fn core_parts_len(parts: &Parts<'_>) -> usize { Parts::len(parts) }
    fn core_session_poll_transmit(
        session: &mut Session<[u8]>,
        now: Instant,
        out: &mut [u8],
    ) -> usize {
        Session::poll_transmit(session, now, out)
    }
    fn core_session_poll_transmit_parts<'a>(
        session: &'a mut Session<[u8]>,
        now: Instant,
        control: &'a mut [u8],
    ) -> Parts<'a> {
        Session::poll_transmit_parts(session, now, control)
    }
    fn core_session_handle_transmitted(session: &mut Session<[u8]>, now: Instant, count: usize) {
        Session::handle_transmitted(session, now, count)
    }
    fn core_session_note(
        session: &mut Session<[u8]>,
        now: Instant,
        route: Route,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        Session::note(session, now, route, payload, out)
    }
    fn core_session_has_output(session: &Session<[u8]>) -> bool { Session::has_output(session) }
    fn core_session_has_control_output(session: &Session<[u8]>) -> bool {
        Session::has_control_output(session)
    }
    fn core_session_send(
        session: &mut Session<[u8]>,
        route: Route,
        payload: &[u8],
    ) -> Result<Position, SendError> {
        Session::send(session, route, payload)
    }
    fn core_session_request(
        session: &mut Session<[u8]>,
        id: RequestId,
        route: Route,
        payload: &[u8],
    ) -> Result<Position, SendError> {
        Session::request(session, id, route, payload)
    }
    fn core_session_free_request(session: &Session<[u8]>) -> Option<RequestId> {
        Session::free_request(session)
    }
    fn core_session_respond(
        session: &mut Session<[u8]>,
        id: RequestId,
        status: Status,
        payload: &[u8],
    ) -> Result<Position, SendError> {
        Session::respond(session, id, status, payload)
    }
    fn core_session_cancel(
        session: &mut Session<[u8]>,
        id: RequestId,
        reason: u8,
    ) -> Result<Position, SendError> {
        Session::cancel(session, id, reason)
    }
    fn core_session_begin(
        session: &mut Session<[u8]>,
        head: Head,
        payload: &[u8],
    ) -> Result<Position, SendError> {
        Session::begin(session, head, payload)
    }
    fn core_session_push_fragment(
        session: &mut Session<[u8]>,
        payload: &[u8],
        last: bool,
    ) -> Result<Position, SendError> {
        Session::push_fragment(session, payload, last)
    }
    fn core_session_abort(session: &mut Session<[u8]>) -> Result<Position, SendError> {
        Session::abort(session)
    }
    fn core_session_send_encoded(
        session: &mut Session<[u8]>,
        frames: &[u8],
    ) -> Result<usize, (usize, SendError)> {
        Session::send_encoded(session, frames)
    }
    fn core_session_is_open_out(session: &Session<[u8]>, id: RequestId) -> bool {
        Session::is_open_out(session, id)
    }
    fn core_session_is_open_in(session: &Session<[u8]>, id: RequestId) -> bool {
        Session::is_open_in(session, id)
    }
    fn core_session_room_for_written(session: &Session<[u8]>) -> usize {
        Session::room_for_written(session)
    }
    fn core_session_handle_written(
        session: &mut Session<[u8]>,
        now: Instant,
        frames: &[u8],
        unwritten: usize,
        input: &[u8],
    ) {
        Session::handle_written(session, now, frames, unwritten, input)
    }
    fn core_session_snapshot_len(session: &Session<[u8]>, partial: usize) -> usize {
        Session::snapshot_len(session, partial)
    }
    fn core_session_snapshot(
        session: &Session<[u8]>,
        retention_left_s: u32,
        partial: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SnapshotError> {
        Session::snapshot(session, retention_left_s, partial, out)
    }
    fn core_session_export(
        session: &mut Session<[u8]>,
        retention_left_s: u32,
        partial: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SnapshotError> {
        Session::export(session, retention_left_s, partial, out)
    }
    fn core_session_restore(
        config: Config,
        bytes: &'static [u8],
        durable: bool,
        storage: &'static mut [u8],
    ) -> Result<Restored<'static, &'static mut [u8]>, SnapshotError> {
        Session::restore(config, bytes, durable, storage)
    }
    fn core_stored_of_snapshot(
        snapshot: &[u8],
        principal: Option<u64>,
        source: u64,
        ttl_s: u32,
        is_last: bool,
    ) -> Option<Stored> {
        Stored::of_snapshot(snapshot, principal, source, ttl_s, is_last)
    }
    fn core_config_with_limits_of(config: Config, snapshot: &[u8]) -> Option<Config> {
        Config::with_limits_of(config, snapshot)
    }
}
