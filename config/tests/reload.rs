//! Settings that are read again.

use std::path::PathBuf;

use outlast_config::{Reloaded, Reloader, ServerSettings, Sources};

/// A file of its own for each test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("outlast-reload-{name}-{}.toml", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }

    fn reloader(&self) -> Reloader<ServerSettings> {
        Reloader::new(Sources::new().file(&self.0), ServerSettings::default()).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn keys(list: &[&str]) -> Vec<String> {
    list.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn what_can_change_does_and_the_rest_is_named() {
    let file = File::new("changes", "connections.max_connections = 5\n");
    let mut reloader = file.reloader();
    let none = reloader.reload(|_| Ok(())).unwrap();
    assert_eq!(none, Reloaded::default());
    file.write(
        "connections.max_connections = 6\nmemory.high = \"1 GiB\"\nsession.window = \"2 MiB\"\n\
         access.deny = [\"10.0.0.0/8\"]\n",
    );
    let mut applied = None;
    let told = reloader.reload(|settings| {
        applied = Some(settings.clone());
        Ok(())
    });
    let told = told.unwrap();
    let at_once = keys(&["access.deny", "connections.max_connections", "memory.high"]);
    assert_eq!((told.at_once, told.restart), (at_once, keys(&["session.window"])));
    let applied = applied.unwrap();
    assert_eq!(applied, reloader.current().settings);
    assert_eq!((applied.connections.max_connections, applied.session.window), (6, 1 << 20));
    let origin = reloader.current().origin("memory.high").to_string();
    assert!(origin.ends_with(".toml:2"), "{origin}");
    // It is named until it is true.
    let again = reloader.reload(|_| Ok(())).unwrap();
    assert_eq!((again.at_once, again.restart), (vec![], keys(&["session.window"])));
    file.write("");
    let back = reloader.reload(|_| Ok(())).unwrap();
    assert_eq!(back.at_once.len(), 3);
    assert_eq!(back.restart, keys(&[]));
    assert_eq!(reloader.current().settings, ServerSettings::default());
    assert_eq!(reloader.current().origin("memory.high").to_string(), "default");
}

#[test]
fn a_mistake_changes_nothing() {
    let file = File::new("mistakes", "connections.max_connections = 5\n");
    let mut reloader = file.reloader();
    let before = reloader.current().settings.clone();
    file.write("connections.max_connections = 6\nmemory.high = 5\nmemory.low = 6\n");
    let mut applied = false;
    let error = reloader.reload(|_| {
        applied = true;
        Ok(())
    });
    let error = error.unwrap_err().to_string();
    assert!(error.ends_with(":2: memory.high is 5: it must be from 6 to unlimited"));
    assert!(!applied);
    assert_eq!(reloader.current().settings, before);
    file.write("connections.max_connections = 6\n");
    let error = reloader.reload(|_| Err("the certificate is of no use".to_owned())).unwrap_err();
    assert_eq!(error.to_string(), "the certificate is of no use");
    assert_eq!(reloader.current().settings, before);
    std::fs::remove_file(&file.0).unwrap();
    assert!(reloader.reload(|_| Ok(())).unwrap_err().to_string().contains("cannot be read"));
    assert_eq!(reloader.current().settings, before);
}

#[test]
fn listeners_keep_what_they_are_but_for_their_certificates() {
    let one = "[[listen]]\ntls_cert = \"a\"\ntls_key = \"b\"\n";
    let file = File::new("listeners", one);
    let mut reloader = file.reloader();
    file.write("[[listen]]\ntls_cert = \"c\"\ntls_key = \"d\"\naddress = \":9\"\n");
    let told = reloader.reload(|_| Ok(())).unwrap();
    assert_eq!(told.at_once, keys(&["listen.0.tls_cert", "listen.0.tls_key"]));
    assert_eq!(told.restart, keys(&["listen.0.address"]));
    file.write("[[listen]]\n");
    let told = reloader.reload(|_| Ok(())).unwrap();
    assert_eq!(told.at_once, keys(&[]));
    assert_eq!(told.restart, keys(&["listen.0.tls_cert", "listen.0.tls_key"]));
    file.write(&format!("{one}[[listen]]\naddress = \":9\"\n"));
    let told = reloader.reload(|_| Ok(())).unwrap();
    assert_eq!(told.at_once, keys(&[]));
    assert!(told.restart.contains(&"listen.1.address".to_owned()));
    assert_eq!(reloader.current().settings.listen.len(), 1);
}
