//! Where the repository lies and how this run was asked to behave.

use std::env;
use std::path::{Path, PathBuf};

/// The repository being checked.
pub(crate) struct Workspace {
    root: PathBuf,
    ci: bool,
}

impl Workspace {
    /// The repository this tool was built from; `CI=true` in the environment asks for every step.
    pub(crate) fn find() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().unwrap_or(here).to_path_buf();
        let ci = env::var("CI").is_ok_and(|value| value == "true");
        Self { root, ci }
    }

    /// The top folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether to install whatever can be installed instead of skipping.
    pub(crate) fn ci(&self) -> bool {
        self.ci
    }

    /// Where builds go: cargo's own choice.
    pub(crate) fn target_dir(&self) -> PathBuf {
        match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => self.root.join(dir),
            None => self.root.join("target"),
        }
    }
}
