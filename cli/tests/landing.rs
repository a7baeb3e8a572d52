//! The program on the command's page: it is shown as it is, and it runs.

mod common;

use common::Running;

#[expect(dead_code, reason = "the program's own entry is not used here")]
mod hello {
    include!("../examples/hello.rs");

    pub(crate) async fn run(address: &str) -> Result<Closed, String> {
        talk(address).await.map_err(|error| error.to_string())
    }
}

#[test]
fn the_page_shows_the_program_as_it_is() {
    let program = include_str!("../examples/hello.rs").lines();
    let shown: String =
        program.map(|line| format!("//! {line}").trim_end().to_owned() + "\n").collect();
    assert!(include_str!("../src/main.rs").contains(&shown), "the page shows another program");
}

#[tokio::test]
async fn the_program_of_the_page_gets_its_answer() {
    let mut server = Running::start(&["serve", "--echo", "127.0.0.1:0"]);
    let closed = hello::run(&server.address()).await.expect("the server answers");
    assert!(closed.complete, "{closed}");
    server.wait_for("hello");
}
