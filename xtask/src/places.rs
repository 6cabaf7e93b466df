//! Where things lie: the checkout, the cargo target folder, and the folder of the peers.
//!
//! The peers (real servers and clients that tests compare with) are large and machine-specific, so they live in the
//! user's cache and never inside the checkout.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};

/// The root of the checkout: the one that cargo runs this program in, or else that it was built from.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let package =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let package = PathBuf::from(package);
        package.parent().map_or(package.clone(), Path::to_path_buf)
    });
    &ROOT
}

/// The folder of the peers: `EVENTWRIGHT_PEERS`, or `eventwright/peers` in the user's cache.
pub fn peers() -> Result<PathBuf> {
    let folder = match std::env::var_os("EVENTWRIGHT_PEERS") {
        Some(folder) => PathBuf::from(folder),
        None => user_cache()?.join("eventwright").join("peers"),
    };
    if folder.starts_with(root()) {
        bail!(
            "the peers folder={} lies inside the checkout; set EVENTWRIGHT_PEERS to another",
            folder.display()
        );
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create folder={}", folder.display()))?;
    Ok(folder)
}

fn user_cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let home = std::env::var_os("HOME").context("neither HOME nor EVENTWRIGHT_PEERS is set; set one")?;
    Ok(PathBuf::from(home).join(".cache"))
}

/// Makes a folder look like the checkout to what reads these files and folders.
pub fn link(folder: &Path, paths: &[&str]) -> Result<()> {
    for path in paths {
        let link = folder.join(path);
        std::fs::create_dir_all(link.parent().unwrap_or(folder))?;
        std::os::unix::fs::symlink(root().join(path), &link)
            .with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(())
}

/// Cargo's target folder, which holds the binary under `release/`.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The release build of the product.
pub fn binary() -> PathBuf {
    target().join("release").join("eventwright")
}
