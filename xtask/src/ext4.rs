//! An ext4 of its own in an image, whose power can be cut: the kernel stops the file system at once, with what its caches
//! hold, and the next mount finds what a machine finds that lost its power.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use verify::Machine;

use crate::process;

const PROGRAM_LIMIT: Duration = Duration::from_secs(60);
/// The image has holes where nothing was written.
const IMAGE_BYTES: u64 = 2 << 30;

/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`, of the kernel's fs/ext4/ext4.h, and its flags.
const SHUTDOWN: u32 = 0x8004_587d;
const WITH_JOURNAL: u32 = 1;
const WITHOUT_JOURNAL: u32 = 2;

const NEEDS: &str = "--ext4 wants root, mkfs.ext4, loop devices and a kernel with ext4; without it power cuts are those of \
                     the shadow, which needs none of them";

/// Mounted until it is dropped.
pub struct Ext4 {
    image: PathBuf,
    mount: PathBuf,
}

impl Ext4 {
    /// Makes an image in `folder` and mounts it there.
    pub fn make(folder: &Path) -> Result<Ext4> {
        let ext4 = Ext4 { image: folder.join("ext4.image"), mount: folder.join("ext4") };
        File::create(&ext4.image)
            .and_then(|image| image.set_len(IMAGE_BYTES))
            .with_context(|| format!("cannot make {}", ext4.image.display()))?;
        std::fs::create_dir_all(&ext4.mount)?;
        if !process::exists("mkfs.ext4") {
            bail!("there is no mkfs.ext4; {NEEDS}");
        }
        process::run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&ext4.image), PROGRAM_LIMIT)
            .context(NEEDS)?;
        ext4.mount().context(NEEDS)?;
        Ok(ext4)
    }

    fn mount(&self) -> Result<()> {
        process::run(
            Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount),
            PROGRAM_LIMIT,
        )
    }

    fn unmount(&self) -> Result<()> {
        process::run(Command::new("umount").arg(&self.mount), PROGRAM_LIMIT)
    }
}

impl Machine for Ext4 {
    fn folder(&self) -> &Path {
        &self.mount
    }

    fn cut(&self, journal: bool) -> Result<()> {
        let root = File::open(&self.mount)?;
        let flags = if journal { WITH_JOURNAL } else { WITHOUT_JOURNAL };
        // SAFETY: the call reads the number that its argument points to, keeps nothing of it, and writes to no memory.
        unsafe { rustix::ioctl::ioctl(root.as_fd(), rustix::ioctl::Setter::<SHUTDOWN, u32>::new(flags)) }
            .context("the kernel does not stop the file system")
    }

    fn restore(&self) -> Result<()> {
        self.unmount()?;
        self.mount()
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        // It may not be mounted, after an error.
        let _ = self.unmount();
    }
}
