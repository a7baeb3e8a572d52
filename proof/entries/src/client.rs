//! When to dial, settings, states and errors.

use outlast_core::backoff::{Backoff, Jitter};
use outlast_core::client::{Action, Attempt, Closed, DialEvent, DialState, Dialer, DialerConfig};
use outlast_core::state::{LinkEvent, LinkState, SessionEvent, SessionState};
use outlast_core::{CloseCode, Config, ConfigError, Instant, Position, StateError, Violation};

entries! {
    fn core_jitter_new(seed: u64) -> Jitter { Jitter::new(seed) }
    fn core_jitter_next_u64(jitter: &mut Jitter) -> u64 { Jitter::next_u64(jitter) }
    fn core_jitter_up_to(jitter: &mut Jitter, max: u64) -> u64 { Jitter::up_to(jitter, max) }
    fn core_backoff_new(base: u64, cap: u64, seed: u64) -> Backoff {
        Backoff::new(base, cap, seed)
    }
    fn core_backoff_ceiling(backoff: &Backoff) -> u64 { Backoff::ceiling(backoff) }
    fn core_backoff_next_delay(backoff: &mut Backoff) -> u64 { Backoff::next_delay(backoff) }
    fn core_backoff_failures(backoff: &Backoff) -> u32 { Backoff::failures(backoff) }
    fn core_backoff_handle_open(backoff: &mut Backoff, now: Instant) {
        Backoff::handle_open(backoff, now)
    }
    fn core_backoff_handle_progress(backoff: &mut Backoff) { Backoff::handle_progress(backoff) }
    fn core_backoff_handle_end(backoff: &mut Backoff, now: Instant, idle: u64) {
        Backoff::handle_end(backoff, now, idle)
    }
    fn core_backoff_draw(backoff: &mut Backoff, max: u64) -> u64 { Backoff::draw(backoff, max) }
    fn core_dialer_config_validate(dialer_config: &DialerConfig) -> Result<(), ConfigError> {
        DialerConfig::validate(dialer_config)
    }
    fn core_attempt_get(attempt: Attempt) -> u32 { Attempt::get(attempt) }
    fn core_closed_by(code: CloseCode) -> Closed { Closed::by(code) }
    fn core_dialer_new(config: DialerConfig, seed: u64) -> Dialer { Dialer::new(config, seed) }
    fn core_dialer_handle_start(dialer: &mut Dialer, now: Instant, has_session: bool) {
        Dialer::handle_start(dialer, now, has_session)
    }
    fn core_dialer_handle_transport(dialer: &mut Dialer, attempt: Attempt) {
        Dialer::handle_transport(dialer, attempt)
    }
    fn core_dialer_handle_welcome(
        dialer: &mut Dialer,
        now: Instant,
        attempt: Attempt,
        has_session: bool,
    ) {
        Dialer::handle_welcome(dialer, now, attempt, has_session)
    }
    fn core_dialer_handle_progress(dialer: &mut Dialer, attempt: Attempt) {
        Dialer::handle_progress(dialer, attempt)
    }
    fn core_dialer_handle_failure(dialer: &mut Dialer, now: Instant, attempt: Attempt) {
        Dialer::handle_failure(dialer, now, attempt)
    }
    fn core_dialer_handle_close(
        dialer: &mut Dialer,
        now: Instant,
        attempt: Attempt,
        closed: Closed,
    ) {
        Dialer::handle_close(dialer, now, attempt, closed)
    }
    fn core_dialer_handle_drain(
        dialer: &mut Dialer,
        now: Instant,
        attempt: Attempt,
        spread_ms: u32,
        hinted: bool,
    ) {
        Dialer::handle_drain(dialer, now, attempt, spread_ms, hinted)
    }
    fn core_dialer_handle_hint(dialer: &mut Dialer) { Dialer::handle_hint(dialer) }
    fn core_dialer_handle_stop(dialer: &mut Dialer) { Dialer::handle_stop(dialer) }
    fn core_dialer_poll_action(dialer: &mut Dialer, now: Instant) -> Option<Action> {
        Dialer::poll_action(dialer, now)
    }
    fn core_dialer_poll_timeout(dialer: &Dialer) -> Option<Instant> {
        Dialer::poll_timeout(dialer)
    }
    fn core_dialer_state(dialer: &Dialer) -> DialState { Dialer::state(dialer) }
    fn core_dialer_failures(dialer: &Dialer) -> u32 { Dialer::failures(dialer) }
    fn core_dial_state_next(dial_state: DialState, event: DialEvent) -> Option<DialState> {
        DialState::next(dial_state, event)
    }
    fn core_dial_state_name(dial_state: DialState) -> &'static str {
        DialState::name(dial_state)
    }
    fn core_dial_event_name(dial_event: DialEvent) -> &'static str {
        DialEvent::name(dial_event)
    }
    fn core_config_validate(config: &Config) -> Result<(), ConfigError> {
        Config::validate(config)
    }
    fn core_config_error_check(
        key: &'static str,
        value: u64,
        min: u64,
        max: u64,
    ) -> Result<(), ConfigError> {
        ConfigError::check(key, value, min, max)
    }
    fn core_config_error_key(config_error: &ConfigError) -> &'static str {
        ConfigError::key(config_error)
    }
    fn core_config_error_value(config_error: &ConfigError) -> u64 {
        ConfigError::value(config_error)
    }
    fn core_config_error_range(config_error: &ConfigError) -> (u64, u64) {
        ConfigError::range(config_error)
    }
    fn core_violation_code(violation: &Violation) -> CloseCode { Violation::code(violation) }
    fn core_position_get(position: Position) -> u64 { Position::get(position) }
    fn core_link_state_next(link_state: LinkState, event: LinkEvent) -> Option<LinkState> {
        LinkState::next(link_state, event)
    }
    fn core_link_state_name(link_state: LinkState) -> &'static str {
        LinkState::name(link_state)
    }
    fn core_link_event_name(link_event: LinkEvent) -> &'static str {
        LinkEvent::name(link_event)
    }
    fn core_session_state_next(
        session_state: SessionState,
        event: SessionEvent,
    ) -> Option<SessionState> {
        SessionState::next(session_state, event)
    }
    fn core_session_state_name(session_state: SessionState) -> &'static str {
        SessionState::name(session_state)
    }
    fn core_session_event_name(session_event: SessionEvent) -> &'static str {
        SessionEvent::name(session_event)
    }
    fn core_state_error_verb(state_error: &StateError) -> &'static str {
        StateError::verb(state_error)
    }
    fn core_state_error_state(state_error: &StateError) -> &'static str {
        StateError::state(state_error)
    }
}
