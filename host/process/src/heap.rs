//! The heap of glibc, as a server wants it. By itself it has up to eight arenas for every core and keeps in each
//! what was freed, so that a process that works in bursts grows for hours; benches/README.md has the figures, and
//! those of other allocators. Elsewhere than on glibc this does nothing.

use std::io;

/// Bounds what the heap keeps of what was freed. To be called before there is another thread, since arenas that
/// exist already stay.
///
/// # Errors
/// No thread can be started.
pub fn bound_heap() -> io::Result<()> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::bound()?;
    Ok(())
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::io;
    use std::time::Duration;

    /// Arenas of the heap. Threads that allocate at the same moment wait for each other where they are more than
    /// these, for less than a microsecond.
    const ARENAS: libc::c_int = 2;

    /// An allocation of so many bytes has a mapping of its own, which is gone when it is freed. A frame with a
    /// second of audio is smaller; an object or a body that is read is larger.
    const MAPPED_BYTES: libc::c_int = 64 * 1024;

    /// Free bytes at the end of the heap that are kept.
    const KEPT_BYTES: libc::c_int = 128 * 1024;

    /// From one time that free pages are given back to the next.
    const TRIM_EVERY: Duration = Duration::from_secs(10);

    pub(super) fn bound() -> io::Result<()> {
        set(libc::M_ARENA_MAX, ARENAS);
        set(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
        set(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
        let trimming = std::thread::Builder::new().name("heap".to_owned());
        trimming.spawn(|| {
            loop {
                std::thread::sleep(TRIM_EVERY);
                trim();
            }
        })?;
        Ok(())
    }

    /// Sets a parameter of the heap. One that it does not know changes nothing.
    #[allow(unsafe_code)]
    fn set(parameter: libc::c_int, value: libc::c_int) {
        // SAFETY: it takes the heap's own locks and touches no memory of the caller's.
        let _ = unsafe { libc::mallopt(parameter, value) };
    }

    /// Gives whole pages that are free back to the system.
    #[allow(unsafe_code)]
    fn trim() {
        // SAFETY: as above.
        let _ = unsafe { libc::malloc_trim(0) };
    }
}
