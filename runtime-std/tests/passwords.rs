//! Passwords and the security log, by calls that block.

use std::sync::{Arc, Mutex};

use outlast_std::{
    Attempts, Client, CloseCode, Incoming, Password, Passwords, Peer, ReconnectPolicy,
    SecurityKind, SecurityLog, Server, SessionInfo, StoredPassword,
};

#[test]
fn threads_prove_passwords_and_hear_who_could_not() {
    let stored = StoredPassword::with_iterations("open sesame", 4_096).unwrap();
    let users = Passwords::new([("ada", stored, 41)]).allow_plaintext();
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&kinds);
    let log = SecurityLog::new(move |event| told.lock().unwrap().push(event.kind));
    let server = Server::builder().authenticator(users).security_log(log);
    let server = server.bind("127.0.0.1:0").unwrap();
    let server = server
        .start(|info: &SessionInfo| {
            assert_eq!(info.principal, Some(41));
            |_: &mut Peer<'_>, _: Incoming<'_>| {}
        })
        .unwrap();
    let dial = |password: &str| {
        let shown = Password::new("ada", password).unwrap().allow_plaintext();
        let builder = Client::builder().address(server.local_addr().to_string());
        let once = ReconnectPolicy { attempts: Attempts::Once, ..ReconnectPolicy::default() };
        let builder = builder.credentials(shown).reconnect(once);
        builder.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap()
    };
    let handle = dial("open sesame");
    handle.send_receipted(1u8, b"taken").unwrap().wait().unwrap();
    assert_eq!(dial("open barley").closed().code, CloseCode::AUTH_FAILED);
    assert_eq!(*kinds.lock().unwrap(), [SecurityKind::AuthenticationFailed]);
    handle.end(CloseCode::GOING_AWAY);
    server.shutdown(std::time::Duration::ZERO);
}
