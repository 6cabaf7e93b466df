//! The folders below which savepoints may be asked for: whoever reaches the port must not choose where a node writes.

use std::path::{Component, Path, PathBuf};

#[derive(Clone)]
pub struct SavepointFolders(Vec<PathBuf>);

impl SavepointFolders {
    /// Absolute paths; savepoints that name no target go to the first.
    pub fn new(first: PathBuf, others: Vec<PathBuf>) -> SavepointFolders {
        SavepointFolders(std::iter::once(first).chain(others).collect())
    }

    pub(crate) fn default(&self) -> &Path {
        &self.0[0]
    }

    /// An error with the folders if the target is not in one of them, wherever links lead.
    pub(crate) fn permit(&self, target: &Path) -> Result<(), String> {
        let resolved = resolved(target);
        let within = |folder: &PathBuf| {
            let root = self::resolved(folder);
            resolved.as_ref().zip(root).is_some_and(|(target, root)| target.starts_with(root))
        };
        if self.0.iter().any(within) {
            return Ok(());
        }
        let folders: Vec<String> = self.0.iter().map(|folder| folder.display().to_string()).collect();
        Err(format!(
            "the target directory '{}' is not in a folder for savepoints, which are: {}; leave the target out, or start \
             the node with --savepoints DIR to have another",
            target.display(),
            folders.join(", ")
        ))
    }
}

/// Without links, as far as the path exists; none for one that is relative or goes up behind what exists.
fn resolved(path: &Path) -> Option<PathBuf> {
    if !path.is_absolute() {
        return None;
    }
    let (known, there) =
        path.ancestors().find_map(|known| Some((known, std::fs::canonicalize(known).ok()?)))?;
    let rest = path.strip_prefix(known).ok()?;
    let plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| if rest.as_os_str().is_empty() { there.clone() } else { there.join(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_stay_in_their_folders_wherever_links_lead() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for name in ["inner", "other", "outside"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(at("outside"), at("inner/link")).unwrap();
        std::os::unix::fs::symlink(at("inner"), at("alias")).unwrap();
        let folders = SavepointFolders::new(at("inner"), vec![at("other"), at("to-come")]);
        for inside in
            ["inner", "inner/", "inner/a/b", "other/x", "to-come", "to-come/x", "alias/x", "inner/../other"]
        {
            folders.permit(&at(inside)).unwrap();
        }
        for outside in [
            "outside",
            "inner/link",
            "inner/link/x",
            "inner/../outside",
            "inner/none/../../outside",
            "innermost",
            ".",
        ] {
            let error = folders.permit(&at(outside)).unwrap_err();
            assert!(error.contains("--savepoints"), "{error}");
        }
        for wrong in ["inner", "", "/", "/proc/self/cwd"] {
            folders.permit(Path::new(wrong)).unwrap_err();
        }
    }
}
