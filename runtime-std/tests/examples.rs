//! The examples do what they say.

include!("../../examples/check.rs");

#[test]
fn echo() {
    check_echo("std_echo");
}

#[test]
fn chat() {
    check_chat("std_chat");
}
