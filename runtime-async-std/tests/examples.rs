//! The examples do what they say, with each feature those that it has.

include!("../../examples/check.rs");

#[cfg(feature = "async-std")]
#[test]
fn async_std_echo() {
    check_echo("async_std_echo");
}

#[cfg(feature = "async-std")]
#[test]
fn async_std_chat() {
    check_chat("async_std_chat");
}

#[cfg(feature = "smol")]
#[test]
fn smol_echo() {
    check_echo("smol_echo");
}

#[cfg(feature = "smol")]
#[test]
fn smol_chat() {
    check_chat("smol_chat");
}
