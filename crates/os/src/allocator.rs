//! The C library's allocator, told to give memory back.
//!
//! As it comes, glibc keeps up to 64 MB of what was freed for later, and a pool for each of eight threads a core. Steps
//! take and free buffers of megabytes, so a node would hold on to more than it uses.

/// Longer buffers are taken from the system and given back to it, each by itself.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const APART_BYTES: libc::c_int = 1 << 20;

/// More than this at the end of a pool goes back.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SPARE_BYTES: libc::c_int = 4 << 20;

/// What the user says in the environment counts more.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const VARIABLES: [&str; 4] =
    ["GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"];

/// Sets the allocator up; to be called before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn set_up() {
    if VARIABLES.iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let pools = libc::c_int::try_from(cores.max(2)).unwrap_or(libc::c_int::MAX);
    let settings = [
        (libc::M_ARENA_MAX, pools),
        (libc::M_MMAP_THRESHOLD, APART_BYTES),
        (libc::M_TRIM_THRESHOLD, SPARE_BYTES),
    ];
    for (setting, value) in settings {
        // SAFETY: it takes two numbers, and knows which pairs it accepts; what it refuses stays as it was.
        unsafe { libc::mallopt(setting, value) };
    }
}

/// Other allocators are left alone.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn set_up() {}
