//! Has the linker make a release binary smaller: functions that came out the same are kept once (some 3 MB), and relative
//! relocations are packed (some 5 MB) where the C library of this machine reads them.

use std::env;
use std::path::Path;
use std::process::Command;

/// The first glibc that reads packed relocations.
const PACKED_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is_asked = |name, value| env::var(name).is_ok_and(|given| given == value);
    if is_asked("PROFILE", "release") && is_asked("TARGET", "x86_64-unknown-linux-gnu") && links_with_lld() {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
        if glibc() >= Some(PACKED_SINCE) {
            println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        }
    }
}

/// What `command` prints, without the space around it.
fn printed(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// The toolchain brings LLVM's linker for this target, and uses it where nothing else is asked for; the others do not know
/// the arguments.
fn links_with_lld() -> bool {
    let is_default = !env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("link"))
        && env::var_os("RUSTC_LINKER").is_none();
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Some(sysroot) = printed(Command::new(rustc).args(["--print", "sysroot"])) else { return false };
    let linker = "lib/rustlib/x86_64-unknown-linux-gnu/bin/gcc-ld/ld.lld";
    is_default && Path::new(&sysroot).join(linker).exists()
}

/// The version of this machine's C library. What is to run on older systems is built on one, as ever.
fn glibc() -> Option<(u32, u32)> {
    let version = printed(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let (major, minor) = version.strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
