//! The examples do what they say.

include!("../../examples/check.rs");

#[test]
fn echo() {
    check_echo("tokio_echo");
}

#[test]
fn chat() {
    check_chat("tokio_chat");
}
