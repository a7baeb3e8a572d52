//! `outlast cert`, and the commands over TLS.

mod common;

use std::path::{Path, PathBuf};

use common::{Running, run};

/// A folder that is gone with this.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("outlast-cli-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn made(name: &str, more: &[&str]) -> Folder {
    let folder = Folder::new(name);
    let dir = folder.0.display().to_string();
    let (status, said) = run(&[&["cert", &dir], more].concat());
    assert!(status.success(), "{said}");
    folder
}

fn serve(folder: &Folder, more: &[&str]) -> (Running, String) {
    let (cert, key) = (folder.file("server.pem"), folder.file("server.key"));
    let args = ["serve", "--echo", "--tls-cert", &cert, "--tls-key", &key];
    let mut server = Running::start(&[&args, more, &["127.0.0.1:0"]].concat());
    let address = server.address();
    (server, address)
}

/// What a client says that sends one line, unless it leaves before.
fn say(address: &str, more: &[&str]) -> (bool, String) {
    let mut client = Running::start(&[&["connect", address], more].concat());
    client.offer_line("hello");
    client.end_input();
    let (status, said) = client.finish();
    (status.success(), said)
}

#[test]
fn certificates_are_made_once_and_keys_are_secret() {
    let folder = made("cert", &["--name", "chat.example.org", "--days", "7"]);
    for name in ["ca.pem", "server.pem", "client.pem"] {
        let text = std::fs::read_to_string(folder.file(name)).unwrap();
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----"), "{name}: {text}");
    }
    for name in ["ca.key", "server.key", "client.key"] {
        let path = folder.file(name);
        assert!(std::fs::read_to_string(&path).unwrap().contains("BEGIN PRIVATE KEY"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(Path::new(&path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
    let before = std::fs::read(folder.file("ca.key")).unwrap();
    let (status, said) = run(&["cert", &folder.0.display().to_string()]);
    assert!(!status.success() && said.contains("is there already"), "{said}");
    assert_eq!(std::fs::read(folder.file("ca.key")).unwrap(), before);
}

#[test]
fn lines_come_back_over_tls() {
    let folder = made("echo", &[]);
    let (mut server, address) = serve(&folder, &[]);
    server.wait_for("over TLS");
    let ca = folder.file("ca.pem");
    let (good, said) = say(&address, &["--tls-ca", &ca]);
    assert!(good && said.lines().any(|line| line == "hello"), "{said}");
    // The host is an address that the certificate has; another name it does not have.
    let (good, said) = say(&address, &["--tls-ca", &ca, "--tls-name", "other.example"]);
    assert!(!good && said.contains("not for other.example"), "{said}");
    let (good, said) = say(&address, &["--tls-ca", &ca, "--tls-name", "localhost"]);
    assert!(good, "{said}");
    // Somebody else's authority.
    let other = made("other", &[]);
    let (good, said) = say(&address, &["--tls-ca", &other.file("ca.pem")]);
    assert!(!good && said.contains("no authority that this end trusts"), "{said}");
    // No TLS at all.
    let (good, said) = say(&address, &[]);
    assert!(!good && said.contains("the server speaks TLS, and this client does not"), "{said}");
    server.wait_for("does not speak TLS");
}

#[test]
fn tls_at_a_port_without_it_is_told_so() {
    let folder = made("plain", &[]);
    let mut server = Running::start(&["serve", "--echo", "127.0.0.1:0"]);
    let address = server.address();
    let (good, said) = say(&address, &["--tls-ca", &folder.file("ca.pem")]);
    assert!(!good && said.contains("the peer does not speak TLS"), "{said}");
}

#[test]
fn clients_show_certificates_where_they_are_asked_for() {
    let folder = made("mutual", &["--client", "somebody"]);
    let ca = folder.file("ca.pem");
    let (_server, address) = serve(&folder, &["--tls-client-ca", &ca]);
    let (cert, key) = (folder.file("client.pem"), folder.file("client.key"));
    let shown = ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key];
    let (good, said) = say(&address, &shown);
    assert!(good && said.lines().any(|line| line == "hello"), "{said}");
    let (good, said) = say(&address, &["--tls-ca", &ca]);
    assert!(!good && said.contains("wants a certificate"), "{said}");
    let other = made("stranger", &[]);
    let (cert, key) = (other.file("client.pem"), other.file("client.key"));
    let (good, said) = say(&address, &["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key]);
    assert!(!good && said.contains("does not accept this end's certificate"), "{said}");
}

#[test]
fn a_cut_connection_is_mended_over_tls() {
    let folder = made("cut", &[]);
    let (_server, target) = serve(&folder, &[]);
    let chaos = ["proxy", "--seed", "5", "--cut-bytes", "3000..9000", "127.0.0.1:0", &target];
    let mut proxy = Running::start(&chaos);
    let ca = folder.file("ca.pem");
    let mut client = Running::start(&["connect", "--tls-ca", &ca, &proxy.address()]);
    for number in 0..120 {
        client.type_line(&format!("line {number} {}", "x".repeat(100)));
    }
    client.end_input();
    let (status, said) = client.finish();
    assert!(status.success(), "{said}");
    let back = said.lines().filter(|line| line.starts_with("line ")).map(|line| {
        line.split(' ').nth(1).and_then(|number| number.parse::<u32>().ok()).expect("a number")
    });
    assert_eq!(back.collect::<Vec<_>>(), (0..120).collect::<Vec<_>>());
    assert!(said.contains("connected again"), "{said}");
}

/// Who is kept out is in a file of its own, and the token is in none.
#[test]
fn the_security_log_tells_who_was_kept_out() {
    let folder = Folder::new("security-log");
    std::fs::create_dir_all(&folder.0).unwrap();
    let (token, log) = (folder.file("token"), folder.file("security.log"));
    std::fs::write(&token, "open sesame").unwrap();
    let arguments = ["serve", "--token-file", &token, "--security-log", &log, "127.0.0.1:0"];
    let mut server = Running::start(&arguments);
    let address = server.address();
    let (well, said) = say(&address, &["--token-file", &token]);
    assert!(well, "{said}");
    let (well, said) = say(&address, &[]);
    assert!(!well && said.contains("wants a token"), "{said}");
    std::fs::write(folder.file("wrong"), "open barley").unwrap();
    let (well, _) = say(&address, &["--token-file", &folder.file("wrong")]);
    assert!(!well);
    // The lines are written by a thread of their own.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let lines = loop {
        let lines = std::fs::read_to_string(&log).unwrap();
        if lines.lines().count() == 2 {
            break lines;
        }
        assert!(std::time::Instant::now() < until, "{lines}");
        std::thread::yield_now();
    };
    for (line, code) in lines.lines().zip(["AUTH_REQUIRED", "AUTH_FAILED"]) {
        assert!(line.contains(" authentication-failed from 127.0.0.1:"), "{line}");
        assert!(line.ends_with(code), "{line}");
    }
    assert!(!lines.contains("open"), "{lines}");
    let (status, said) = run(&["serve", "--security-log", &folder.file("none/log"), "127.0.0.1:0"]);
    assert!(!status.success() && said.contains("cannot write"), "{said}");
}
