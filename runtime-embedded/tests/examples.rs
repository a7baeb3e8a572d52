//! The example does what it says.

#![allow(
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::or_fun_call,
    reason = "what is wrong fails the test, and there is a standard library here"
)]

#[expect(dead_code, reason = "there is no chat here")]
mod check {
    include!("../../examples/check.rs");

    #[test]
    fn echo() {
        check_echo("embedded_echo");
    }
}
