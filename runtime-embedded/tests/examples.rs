//! The examples do what they say.

#![allow(
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::or_fun_call,
    reason = "what is wrong fails the test, and there is a standard library here"
)]

include!("../../examples/check.rs");

#[test]
fn echo() {
    check_echo("embedded_echo");
}

#[test]
fn echo_over_a_line() {
    check_echo("embedded_line");
}

#[test]
fn chat() {
    check_chat("embedded_chat");
}
