//! Bytes, codes and times.

use core::time::Duration;

use outlast_core::wire::{
    Close, CloseFlags, Drain, Frame, Header, Hello, Op, Probe, Route, Split, Status, Terms,
    Welcome, encode_ack, encode_empty, encode_probe,
};
use outlast_core::{CloseCode, Instant, Retry, Scope};

entries! {
    fn core_close_code_new(code: u16) -> CloseCode { CloseCode::new(code) }
    fn core_close_code_get(close_code: CloseCode) -> u16 { CloseCode::get(close_code) }
    fn core_close_code_scope(close_code: CloseCode) -> Scope { CloseCode::scope(close_code) }
    fn core_close_code_name(close_code: CloseCode) -> &'static str { CloseCode::name(close_code) }
    fn core_close_code_explain(close_code: CloseCode) -> &'static str {
        CloseCode::explain(close_code)
    }
    fn core_close_code_retry(close_code: CloseCode) -> Retry { CloseCode::retry(close_code) }
    fn core_instant_from_micros(micros: u64) -> Instant { Instant::from_micros(micros) }
    fn core_instant_as_micros(instant: Instant) -> u64 { Instant::as_micros(instant) }
    fn core_instant_saturating_since(instant: Instant, earlier: Instant) -> Duration {
        Instant::saturating_since(instant, earlier)
    }
    fn core_instant_after(instant: Instant, micros: u64) -> Instant {
        Instant::after(instant, micros)
    }
    fn core_close_flags_contains(close_flags: CloseFlags, other: CloseFlags) -> bool {
        CloseFlags::contains(close_flags, other)
    }
    fn core_drain_decode<'b>(body: &'b [u8]) -> Result<Drain<'b>, CloseCode> {
        Drain::decode(body)
    }
    fn core_drain_encode(drain: &Drain<'_>, out: &mut [u8]) -> Option<usize> {
        Drain::encode(drain, out)
    }
    fn core_close_new(code: CloseCode) -> Close<'static> { Close::new(code) }
    fn core_close_decode<'b>(body: &'b [u8]) -> Result<Close<'b>, CloseCode> {
        Close::decode(body)
    }
    fn core_close_encode(close: &Close<'_>, out: &mut [u8]) -> Option<usize> {
        Close::encode(close, out)
    }
    fn core_encode_ack(ack: u32, limit: u32) -> [u8; 12] { encode_ack(ack, limit) }
    fn core_encode_probe(op: Op, probe: Probe) -> [u8; 20] { encode_probe(op, probe) }
    fn core_encode_empty(op: Op) -> [u8; 4] { encode_empty(op) }
    fn core_frame_split<'b>(
        input: &'b [u8],
        max_body: u16,
    ) -> Result<Option<Split<'b>>, CloseCode> {
        Frame::split(input, max_body)
    }
    fn core_frame_split_first<'b>(
        input: &'b [u8],
        max_body: u16,
    ) -> Result<Option<Split<'b>>, CloseCode> {
        Frame::split_first(input, max_body)
    }
    fn core_frame_decode<'b>(header: Header, body: &'b [u8]) -> Result<Frame<'b>, CloseCode> {
        Frame::decode(header, body)
    }
    fn core_frame_encode(frame: &Frame<'_>, out: &mut [u8]) -> Option<usize> {
        Frame::encode(frame, out)
    }
    fn core_terms_is_legal(terms: &Terms) -> bool { Terms::is_legal(terms) }
    fn core_hello_decode<'b>(body: &'b [u8]) -> Result<Hello<'b>, CloseCode> {
        Hello::decode(body)
    }
    fn core_hello_encode(hello: &Hello<'_>, out: &mut [u8]) -> Option<usize> {
        Hello::encode(hello, out)
    }
    fn core_welcome_decode<'b>(body: &'b [u8]) -> Result<Welcome<'b>, CloseCode> {
        Welcome::decode(body)
    }
    fn core_welcome_encode(welcome: &Welcome<'_>, out: &mut [u8]) -> Option<usize> {
        Welcome::encode(welcome, out)
    }
    fn core_header_new(op: Op, tag: u8, len: u16) -> Header { Header::new(op, tag, len) }
    fn core_header_from_bytes(bytes: [u8; 4]) -> Header { Header::from_bytes(bytes) }
    fn core_header_to_bytes(header: Header) -> [u8; 4] { Header::to_bytes(header) }
    fn core_header_from_word(word: u32) -> Header { Header::from_word(word) }
    fn core_header_word(header: Header) -> u32 { Header::word(header) }
    fn core_header_kind(header: Header) -> u8 { Header::kind(header) }
    fn core_header_tag(header: Header) -> u8 { Header::tag(header) }
    fn core_header_body_len(header: Header) -> u16 { Header::body_len(header) }
    fn core_header_frame_size(header: Header) -> usize { Header::frame_size(header) }
    fn core_header_more(header: Header) -> bool { Header::more(header) }
    fn core_header_lane(header: Header) -> bool { Header::lane(header) }
    fn core_header_with_more(header: Header, more: bool) -> Header {
        Header::with_more(header, more)
    }
    fn core_header_is_sequenced(header: Header) -> bool { Header::is_sequenced(header) }
    fn core_header_is_ignorable(header: Header) -> bool { Header::is_ignorable(header) }
    fn core_header_op(header: Header) -> Option<Op> { Header::op(header) }
    fn core_route_new(route: u32) -> Route { Route::new(route) }
    fn core_route_get(route: Route) -> u32 { Route::get(route) }
    fn core_route_encoded_len(route: Route) -> usize { Route::encoded_len(route) }
    fn core_route_tag(route: Route) -> u8 { Route::tag(route) }
    fn core_route_to_bytes(route: Route) -> [u8; 4] { Route::to_bytes(route) }
    fn core_route_split(tag: u8, body: &[u8]) -> Result<(Route, &[u8]), CloseCode> {
        Route::split(tag, body)
    }
    fn core_status_is_ok(status: Status) -> bool { Status::is_ok(status) }
    fn core_status_may_have_run(status: Status) -> bool { Status::may_have_run(status) }
}
