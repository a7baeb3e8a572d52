//! `--config`, `--preset`, `--set`, `--print-config`, the environment, and SIGHUP.

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{Running, run};
use outlast_conformance::net::Unserved;

/// A folder that is gone with this.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("outlast-settings-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }

    /// Certificates in a folder inside of this one.
    fn certificates(&self, name: &str) {
        let (status, said) = run(&["cert", &self.path(name)]);
        assert!(status.success(), "{said}");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the command prints with these variables.
fn printed(args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_outlast"))
        .args(args)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    format!("{}{errors}", String::from_utf8_lossy(&output.stdout))
}

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    let found = text.lines().find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("no {start} in\n{text}"))
}

/// A client that sends one line; whether it came back, and what was said.
fn say(args: &[&str]) -> (bool, String) {
    let mut client = Running::start(&[&["connect"], args].concat());
    client.offer_line("hello");
    client.end_input();
    let (status, said) = client.finish();
    let back = said.lines().any(|line| line == "hello");
    (status.success() && back, said)
}

#[test]
fn what_holds_is_printed_with_where_it_comes_from() {
    let folder = Folder::new("print");
    let file = folder.write(
        "server.toml",
        "preset = \"low-latency\"\n[session]\nwindow = 65536\nlinger = \"1 s\"\n\
         [[listen]]\naddress = \":9999\"\n[[listen]]\nformat = \"ltv\"\n",
    );
    let args = ["serve", "--config", &file, "--keep", "9", "--set", "memory.high=1 GiB"];
    let variables = [("OUTLAST_SESSION_LINGER", "3 s"), ("OUTLAST_SESSION_LINGRE", "3 s")];
    let text = printed(&[&args[..], &["--print-config", ":8888"]].concat(), &variables);
    for (start, value, origin) in [
        ("preset", "\"low-latency\"", ""),
        ("window ", "\"64 KiB\"", "server.toml:3"),
        ("linger ", "\"3 s\"", "# environment OUTLAST_SESSION_LINGER"),
        ("retention ", "\"9 s\"", "# command line --keep"),
        ("idle_timeout ", "\"5 s\"", "# preset low-latency"),
        ("high ", "\"1 GiB\"", "# command line --set"),
        ("low ", "\"unlimited\"", "# default"),
        ("address ", "\"127.0.0.1:8888\"", "# command line ADDR"),
        ("format = \"ltv\"", "", "server.toml:8"),
    ] {
        let line = line(&text, start);
        assert!(line.contains(value) && line.ends_with(origin), "{line}");
    }
    let warning = "OUTLAST_SESSION_LINGRE is no setting: do you mean OUTLAST_SESSION_LINGER?";
    assert!(text.contains(warning), "{text}");
    // What is printed is a file that says the same.
    let bare = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with("outlast: "));
        lines.map(|line| line.split(" #").next().unwrap().trim_end().to_owned()).collect()
    };
    let again = folder.write("again.toml", &text.replace("outlast: ", "# "));
    let second = printed(&["serve", "--config", &again, "--print-config"], &[]);
    assert_eq!(bare(&second), bare(&text));
    let client = printed(&["connect", "--print-config", "--attempts", "5"], &[]);
    assert!(line(&client, "attempts ").ends_with("# command line --attempts"));
}

#[test]
fn mistakes_are_said_with_file_and_line_and_nothing_begins() {
    let folder = Folder::new("mistakes");
    for (name, text, expected) in [
        ("a.toml", "[session]\nwindow = 12\n", "a.toml:2: session.window is 12: it must be from"),
        ("a.json", "{\n\"sesion\": {}}", "a.json:2: sesion is no setting"),
        (
            "a.yaml",
            "session:\n  windo: 1\n",
            "a.yaml:2: session.windo is no setting: do you mean s",
        ),
    ] {
        let path = folder.write(name, text);
        for command in ["serve", "connect"] {
            let (status, said) = run(&[command, "--config", &path]);
            assert!(!status.success() && said.contains(expected), "{said}");
        }
    }
    for (args, expected) in [
        (&["--set", "session.window"][..], "is no KEY=VALUE"),
        (&["--set", "session.window=x"], "command line --set: session.window is x: it must be"),
        (&["--preset", "fast"], "command line --preset: preset `fast` is none of"),
        (&["--config", "none.toml"], "none.toml: cannot be read"),
        (&["--config", "none"], "none: its name must end with"),
    ] {
        let (status, said) = run(&[&["serve"], args].concat());
        assert!(!status.success() && said.contains(expected), "{said}");
    }
}

#[test]
fn one_server_listens_at_several_ports() {
    let folder = Folder::new("listeners");
    folder.certificates("pki");
    let text = "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\ntls_cert = \"PKI/server.pem\"\n\
         tls_key = \"PKI/server.key\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\nformat = \"ltv\"\noptions = { max = 64 }\n";
    let file = folder.write("server.toml", &text.replace("PKI", &folder.path("pki")));
    let mut server = Running::start(&["serve", "--relay", "--config", &file]);
    let (bare, secure, foreign) = (server.address(), server.address(), server.address());
    server.wait_for("packets of ltv");
    let mut here = Running::start(&["connect", &bare]);
    here.wait_for("connected to");
    let mut there = Running::start(&["connect", "--tls-ca", &folder.path("pki/ca.pem"), &secure]);
    there.wait_for("connected to");
    here.type_line("is anybody there?");
    there.wait_for(": is anybody there?");
    there.type_line("yes");
    here.wait_for(": yes");
    let mut other = Running::start(&["connect", "--format", "ltv", &foreign]);
    other.type_line("ping");
    other.wait_for("ping");
    other.type_line(&"x".repeat(65));
    other.wait_for("connection lost");
    let none = folder.write("none.toml", "[[listen]]\nformat = \"ltv\"\n");
    let (status, said) = run(&["serve", "--echo", "--config", &none]);
    assert!(!status.success() && said.contains("no listener has any"), "{said}");
}

#[test]
fn a_client_dials_whom_the_settings_name() {
    let mut server = Running::start(&["serve", "--echo", "127.0.0.1:0"]);
    let folder = Folder::new("client");
    let nobody = Unserved::new();
    let gone = nobody.address();
    let text = format!("connect:\n  addresses: [\"{gone}\", \"{}\"]\n", server.address());
    let file = folder.write("client.yaml", &text);
    let (good, said) = say(&["--config", &file]);
    assert!(good, "{said}");
    let (good, said) = say(&["--config", &file, "--set", "dial.attempts=1", &gone.to_string()]);
    assert!(!good && said.contains("gave up"), "{said}");
    let (status, said) = run(&["connect", "--set", "pool.keep=2"]);
    assert!(!status.success() && said.contains("pool.keep has no effect here"), "{said}");
}

#[test]
fn whoever_is_not_to_come_does_not() {
    let mut server = Running::start(&[
        "serve",
        "--echo",
        "--set",
        "access.default=deny",
        "--set",
        "access.allow=127.0.0.2",
        "127.0.0.1:0",
    ]);
    let address = server.address();
    let (good, said) = say(&["--attempts", "2", &address]);
    assert!(!good && said.contains("gave up"), "{said}");
    let mut server = Running::start(&[
        "serve",
        "--echo",
        "--set",
        "access.default=deny",
        "--set",
        "access.allow=127.0.0.0/8",
        "127.0.0.1:0",
    ]);
    let (good, said) = say(&[&server.address()]);
    assert!(good, "{said}");
}

#[test]
fn users_prove_their_passwords() {
    let folder = Folder::new("passwords");
    folder.certificates("pki");
    let user = |name: &str, password: &str| {
        let mut command = Running::start(&["password", name]);
        command.offer_line(password);
        let (status, said) = command.finish();
        assert!(status.success() && !said.contains(password), "{said}");
        said
    };
    let users = format!("# users\n{}\n\n{}\n", user("ada", "lovelace"), user("bob", "builder"));
    let users = format!("auth.passwords_file={}", folder.write("users", &users));
    let (cert, key) = (folder.path("pki/server.pem"), folder.path("pki/server.key"));
    let args = ["serve", "--echo", "--tls-cert", &cert, "--tls-key", &key, "--set", &users];
    let mut server = Running::start(&[&args[..], &["127.0.0.1:0"]].concat());
    let (address, ca) = (server.address(), folder.path("pki/ca.pem"));
    for (name, password, expected) in
        [("ada", "lovelace\n", true), ("ada", "builder", false), ("eve", "lovelace", false)]
    {
        let user = format!("auth.user={name}");
        let password = format!("auth.password_file={}", folder.write("password", password));
        let args = ["--tls-ca", &ca, "--set", &user, "--set", &password, &address];
        let (good, said) = say(&args);
        assert_eq!(good, expected, "{name}: {said}");
    }
    let (good, said) = say(&["--tls-ca", &ca, &address]);
    assert!(!good, "{said}");
    #[cfg(unix)]
    {
        folder.write("users", &user("eve", "lovelace"));
        server.signal("HUP");
        server.wait_for("settings were read again");
        for (name, expected) in [("auth.user=eve", true), ("auth.user=ada", false)] {
            let password = format!("auth.password_file={}", folder.write("password", "lovelace"));
            let args = ["--tls-ca", &ca, "--set", name, "--set", &password, &address];
            let (good, said) = say(&args);
            assert_eq!(good, expected, "{name}: {said}");
        }
    }
    let broken = format!("auth.passwords_file={}", folder.write("broken", "\nada:secret\n"));
    let (status, said) = run(&["serve", "--set", &broken, "127.0.0.1:0"]);
    assert!(!status.success() && said.contains("broken:2: "), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[cfg(unix)]
#[test]
fn settings_are_read_again_or_stay_as_they_were() {
    let folder = Folder::new("reload");
    let write = |text: &str| folder.write("server.toml", text);
    let file = write("session.linger = \"1 s\"\n");
    let mut server = Running::start(&["serve", "--echo", "--config", &file, "127.0.0.1:0"]);
    let address = server.address();
    assert!(say(&[&address]).0);
    write("session.linger = \"3 s\"\naccess.default = \"deny\"\n");
    server.signal("HUP");
    server.wait_for("settings were read again: in effect now: access.default");
    server.wait_for("in effect after a restart: session.linger");
    assert!(!say(&["--attempts", "1", &address]).0);
    write("access.default = \"allow\"\nmemory.high = 1\nmemory.low = 2\n");
    server.signal("HUP");
    let said = server.wait_for("the settings stay as they were: ");
    assert!(said.contains("server.toml:2: memory.high is 1: it must be from 2 to"), "{said}");
    assert!(!say(&["--attempts", "1", &address]).0);
    write("session.linger = \"1 s\"\n");
    server.signal("HUP");
    server.wait_for("settings were read again: in effect now: access.default");
    assert!(say(&[&address]).0);
    server.signal("HUP");
    server.wait_for("settings were read again: nothing changed");
}

/// Whoever closes the terminal does not leave a server behind that nobody asked for.
#[cfg(target_os = "linux")]
#[test]
fn with_nothing_to_read_a_hangup_is_the_end() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    let mut server = Running::start(&["serve", "127.0.0.1:0"]);
    server.address();
    server.signal("HUP");
    // What is ignored here is ignored there: whoever started this wants it to outlive a terminal.
    if ignored & 1 == 0 {
        let (status, said) = server.finish();
        assert!(!status.success(), "{said}");
    } else {
        server.signal("INT");
        assert!(server.finish().0.success());
    }
}

#[cfg(unix)]
#[test]
fn tokens_are_read_again() {
    let folder = Folder::new("tokens");
    let token = folder.write("token", "one");
    let (one, two) = (folder.write("one", "one"), folder.write("two", "two"));
    let mut server = Running::start(&["serve", "--echo", "--token-file", &token, "127.0.0.1:0"]);
    let address = server.address();
    assert!(say(&["--token-file", &one, &address]).0);
    assert!(!say(&["--token-file", &two, &address]).0);
    folder.write("token", "two");
    server.signal("HUP");
    server.wait_for("settings were read again");
    assert!(say(&["--token-file", &two, &address]).0);
    assert!(!say(&["--token-file", &one, &address]).0);
    std::fs::remove_file(&token).unwrap();
    server.signal("HUP");
    server.wait_for("the settings stay as they were: cannot read");
    assert!(say(&["--token-file", &two, &address]).0);
}

#[cfg(unix)]
#[test]
fn certificates_are_read_again_from_where_the_settings_say() {
    let folder = Folder::new("certificates");
    folder.certificates("old");
    folder.certificates("new");
    let settings = |name: &str| {
        let (cert, key) = (folder.path(name) + "/server.pem", folder.path(name) + "/server.key");
        folder.write(
            "server.json",
            &format!(
                "{{\"listen\": [{{\"address\": \"127.0.0.1:0\",\n\"tls_cert\": \"{cert}\",\n\
                 \"tls_key\": \"{key}\"}}]}}"
            ),
        )
    };
    let file = settings("old");
    let mut server = Running::start(&["serve", "--echo", "--config", &file]);
    let address = server.address();
    let (old, new) = (folder.path("old/ca.pem"), folder.path("new/ca.pem"));
    assert!(say(&["--tls-ca", &old, &address]).0);
    settings("new");
    server.signal("HUP");
    server.wait_for("the certificate was read again");
    server.wait_for("in effect now: listen.0.tls_cert, listen.0.tls_key");
    assert!(say(&["--tls-ca", &new, &address]).0);
    assert!(!say(&["--tls-ca", &old, "--attempts", "1", &address]).0);
    // A key of another certificate.
    std::fs::copy(folder.path("old/server.key"), folder.path("new/server.key")).unwrap();
    server.signal("HUP");
    server.wait_for("the settings stay as they were: the certificate stays as it was: ");
    assert!(say(&["--tls-ca", &new, &address]).0);
}

/// A client that does nothing at all is waited for, and no longer.
#[cfg(unix)]
#[test]
fn clients_get_as_long_to_leave_as_the_settings_say() {
    let grace = std::time::Duration::from_secs(2);
    let args = ["serve", "--set", "drain.grace=2 s", "127.0.0.1:0"];
    let mut server = Running::start(&args);
    let mut client = Running::start(&["connect", &server.address()]);
    client.wait_for("connected to");
    client.halt();
    let since = std::time::Instant::now();
    server.signal("INT");
    let (status, said) = server.finish();
    assert!(status.success(), "{said}");
    assert!(since.elapsed() >= grace, "{:?}", since.elapsed());
    client.signal("CONT");
    client.kill();
}
