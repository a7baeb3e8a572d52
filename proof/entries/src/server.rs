//! Many sessions, and who may come in.

use core::net::IpAddr;

use outlast_core::admission::{
    Access, Gate, GateConfig, GateStats, Meter, Rate, Rule, Source, SourceEntry, Ticket, Turned,
    access,
};
use outlast_core::registry::{
    Admission, Entropy, Entry, Expired, Lease, Parting, Peer, Refusal, Registry, RegistryConfig,
    RegistryStats, SessionState, Stored,
};
use outlast_core::wire::{Close, Hello};
use outlast_core::{CloseCode, ConfigError, Instant};

entries! {
    fn core_gate_config_validate(gate_config: &GateConfig) -> Result<(), ConfigError> {
        GateConfig::validate(gate_config)
    }
    fn core_turned_wait(turned: Turned) -> Option<u64> { Turned::wait(turned) }
    fn core_ticket_is_waiting(ticket: &Ticket) -> bool { Ticket::is_waiting(ticket) }
    fn core_gate_new(
        config: GateConfig,
        seed: u64,
        entries: &'static mut [SourceEntry],
    ) -> Gate<&'static mut [SourceEntry]> {
        Gate::new(config, seed, entries)
    }
    fn core_gate_reconfigure(gate: &mut Gate<[SourceEntry]>, config: GateConfig) {
        Gate::reconfigure(gate, config)
    }
    fn core_gate_config(gate: &Gate<[SourceEntry]>) -> &GateConfig { Gate::config(gate) }
    fn core_gate_stats(gate: &Gate<[SourceEntry]>) -> &GateStats { Gate::stats(gate) }
    fn core_gate_handle_connect(
        gate: &mut Gate<[SourceEntry]>,
        now: Instant,
        address: IpAddr,
    ) -> Result<Ticket, Turned> {
        Gate::handle_connect(gate, now, address)
    }
    fn core_gate_poll_connect(
        gate: &mut Gate<[SourceEntry]>,
        now: Instant,
        address: IpAddr,
    ) -> Result<Ticket, Turned> {
        Gate::poll_connect(gate, now, address)
    }
    fn core_gate_handle_turned(gate: &mut Gate<[SourceEntry]>) { Gate::handle_turned(gate) }
    fn core_gate_poll_handshake(gate: &mut Gate<[SourceEntry]>, ticket: &mut Ticket) -> bool {
        Gate::poll_handshake(gate, ticket)
    }
    fn core_gate_has_room(gate: &Gate<[SourceEntry]>, resumes: bool) -> bool {
        Gate::has_room(gate, resumes)
    }
    fn core_gate_handle_open(
        gate: &mut Gate<[SourceEntry]>,
        ticket: &mut Ticket,
        authenticated: bool,
    ) {
        Gate::handle_open(gate, ticket, authenticated)
    }
    fn core_gate_handle_failure(gate: &mut Gate<[SourceEntry]>, now: Instant, ticket: &Ticket) {
        Gate::handle_failure(gate, now, ticket)
    }
    fn core_gate_handle_disconnect(gate: &mut Gate<[SourceEntry]>, ticket: Ticket) {
        Gate::handle_disconnect(gate, ticket)
    }
    fn core_gate_connections_of(gate: &Gate<[SourceEntry]>, address: IpAddr) -> u32 {
        Gate::connections_of(gate, address)
    }
    fn core_rate_new(events: u32, period_us: u64, burst: u32) -> Rate {
        Rate::new(events, period_us, burst)
    }
    fn core_rate_per_second(events: u32, burst: u32) -> Rate { Rate::per_second(events, burst) }
    fn core_rate_interval(rate: &Rate) -> u64 { Rate::interval(rate) }
    fn core_rate_burst(rate: &Rate) -> u64 { Rate::burst(rate) }
    fn core_meter_take(meter: &mut Meter, now: Instant, rate: &Rate) -> Result<(), u64> {
        Meter::take(meter, now, rate)
    }
    fn core_meter_wait(meter: &Meter, now: Instant, rate: &Rate) -> u64 {
        Meter::wait(meter, now, rate)
    }
    fn core_meter_room(meter: &Meter, now: Instant, rate: &Rate) -> u32 {
        Meter::room(meter, now, rate)
    }
    fn core_meter_charge(meter: &mut Meter, now: Instant, rate: &Rate, events: u32) {
        Meter::charge(meter, now, rate, events)
    }
    fn core_meter_is_idle(meter: &Meter, now: Instant) -> bool { Meter::is_idle(meter, now) }
    fn core_rule_new(network: IpAddr, prefix: u8, access: Access) -> Option<Rule> {
        Rule::new(network, prefix, access)
    }
    fn core_access(rules: &[Rule], otherwise: Access, address: IpAddr) -> Access {
        access(rules, otherwise, address)
    }
    fn core_source_new(address: IpAddr, v6_prefix: u8) -> Source {
        Source::new(address, v6_prefix)
    }
    fn core_source_get(source: Source) -> u64 { Source::get(source) }
    fn core_registry_config_validate(
        registry_config: &RegistryConfig,
    ) -> Result<(), ConfigError> {
        RegistryConfig::validate(registry_config)
    }
    fn core_lease_index(lease: &Lease) -> u32 { Lease::index(lease) }
    fn core_lease_is_of_same_session(lease: &Lease, other: &Lease) -> bool {
        Lease::is_of_same_session(lease, other)
    }
    fn core_lease_attach(lease: &Lease) -> u32 { Lease::attach(lease) }
    fn core_refusal_close(refusal: &Refusal) -> Close<'static> { Refusal::close(refusal) }
    fn core_registry_new(
        config: RegistryConfig,
        seed: u64,
        entries: &'static mut [Entry],
    ) -> Registry<&'static mut [Entry]> {
        Registry::new(config, seed, entries)
    }
    fn core_registry_stats(registry: &Registry<[Entry]>) -> &RegistryStats {
        Registry::stats(registry)
    }
    fn core_registry_reconfigure(registry: &mut Registry<[Entry]>, config: RegistryConfig) {
        Registry::reconfigure(registry, config)
    }
    fn core_registry_config(registry: &Registry<[Entry]>) -> &RegistryConfig {
        Registry::config(registry)
    }
    fn core_registry_state(registry: &Registry<[Entry]>, index: u32) -> Option<SessionState> {
        Registry::state(registry, index)
    }
    fn core_registry_sid(registry: &Registry<[Entry]>, index: u32) -> Option<u64> {
        Registry::sid(registry, index)
    }
    fn core_registry_admit(
        registry: &mut Registry<[Entry]>,
        now: Instant,
        hello: &Hello<'_>,
        peer: &Peer<'_>,
        entropy: Entropy,
    ) -> Result<Admission, Refusal> {
        Registry::admit(registry, now, hello, peer, entropy)
    }
    fn core_registry_restore(
        registry: &mut Registry<[Entry]>,
        now: Instant,
        session: Stored,
    ) -> Option<Lease> {
        Registry::restore(registry, now, session)
    }
    fn core_registry_confirmed(registry: &mut Registry<[Entry]>, lease: Lease) -> bool {
        Registry::confirmed(registry, lease)
    }
    fn core_registry_detached(
        registry: &mut Registry<[Entry]>,
        now: Instant,
        lease: Lease,
        parting: Parting,
    ) -> bool {
        Registry::detached(registry, now, lease, parting)
    }
    fn core_registry_ended(
        registry: &mut Registry<[Entry]>,
        now: Instant,
        lease: Lease,
        code: CloseCode,
        rx_next: u64,
    ) -> bool {
        Registry::ended(registry, now, lease, code, rx_next)
    }
    fn core_registry_rotate(
        registry: &mut Registry<[Entry]>,
        lease: Lease,
        key: [u8; 16],
    ) -> Option<u8> {
        Registry::rotate(registry, lease, key)
    }
    fn core_registry_confirm_key(
        registry: &mut Registry<[Entry]>,
        lease: Lease,
        key_id: u8,
    ) -> bool {
        Registry::confirm_key(registry, lease, key_id)
    }
    fn core_registry_abandon_key(
        registry: &mut Registry<[Entry]>,
        lease: Lease,
        key_id: u8,
    ) -> bool {
        Registry::abandon_key(registry, lease, key_id)
    }
    fn core_registry_poll_expired(
        registry: &mut Registry<[Entry]>,
        now: Instant,
    ) -> Option<Expired> {
        Registry::poll_expired(registry, now)
    }
    fn core_registry_retention_left_s(
        registry: &Registry<[Entry]>,
        now: Instant,
        lease: Lease,
    ) -> u32 {
        Registry::retention_left_s(registry, now, lease)
    }
    fn core_registry_poll_timeout(registry: &Registry<[Entry]>) -> Option<Instant> {
        Registry::poll_timeout(registry)
    }
}
