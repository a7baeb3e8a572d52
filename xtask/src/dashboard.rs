//! The page that servers show of themselves, in a real browser.

use crate::process::Process;
use crate::steps::{Outcome, Verdict};
use crate::tools;
use crate::workspace::Workspace;

/// Live numbers, a quiet console, a narrow screen, and the drain, in Chromium without a window.
pub(crate) fn step(workspace: &Workspace) -> Verdict {
    if let Err(why) = tools::chromium() {
        return Ok(Outcome::Skipped(why));
    }
    Process::cargo(workspace.root(), "test --package outlast-admin --test browser")
        .env("OUTLAST_BROWSER", tools::CHROMIUM)
        .run()?;
    Ok(Outcome::Passed("numbers live, console quiet, 320 to 2560 pixels wide, drain".to_owned()))
}
