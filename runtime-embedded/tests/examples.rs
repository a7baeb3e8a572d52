//! The example does what it says.

#[expect(dead_code, reason = "there is no chat here")]
mod check {
    include!("../../examples/check.rs");

    #[test]
    fn echo() {
        check_echo("embedded_echo");
    }
}
