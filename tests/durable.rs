//! What a save asks of the disk, seen by a stand-in for the C library's `fsync`: the state
//! is on the disk before it takes the old one's place, and so is its name after that.

#![cfg(all(feature = "clerk", target_os = "linux", target_env = "gnu"))]

use std::{
    cell::{Cell, RefCell},
    fs,
    path::{Path, PathBuf},
};

use afterbeat::clerk::{FileStore, TokenStore};

/// What was to be on the disk, and the state that a reader would have found then.
type Synced = (PathBuf, String);

thread_local! {
    static SYNCED: RefCell<Vec<Synced>> = const { RefCell::new(Vec::new()) };
    static STATE: RefCell<PathBuf> = RefCell::default();
    /// Which call fails, from 1.
    static FAILS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: it has the signature of the one whose place it takes.
#[unsafe(no_mangle)]
extern "C" fn fsync(file: i32) -> i32 {
    let path = fs::read_link(format!("/proc/self/fd/{file}")).unwrap_or_default();
    let state = STATE.with_borrow(|state| fs::read_to_string(state).unwrap_or_default());
    let calls = SYNCED.with_borrow_mut(|synced| {
        synced.push((path, state));
        synced.len()
    });
    if calls == FAILS.get() {
        // For the number of an error, which the caller reads.
        let _ = fs::metadata("/no such file");
        return -1;
    }
    0
}

/// Saves over an old state; returns what was synced, and whether it went well.
fn save(path: &Path, fails: usize) -> (Vec<Synced>, bool) {
    let store = FileStore::new(path).unwrap();
    fs::write(path, "old").unwrap();
    STATE.set(path.to_owned());
    FAILS.set(fails);
    SYNCED.take();
    let saved = store.save(b"new").is_ok();
    (SYNCED.take(), saved)
}

#[test]
fn a_save_is_on_the_disk_before_it_is_the_state_and_its_name_after() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("durable");
    let folder = folder.with_extension(std::process::id().to_string());
    let (path, temporary) = (folder.join("state"), folder.join("state.tmp"));
    fs::create_dir_all(&folder).unwrap();

    let whole = [
        (temporary, "old".to_owned()),
        (folder.clone(), "new".to_owned()),
    ];
    assert_eq!(save(&path, 0), (whole.to_vec(), true));

    // What the disk refuses is not saved.
    assert_eq!(save(&path, 1), (whole[..1].to_vec(), false));
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(save(&path, 2), (whole.to_vec(), false));
    fs::remove_dir_all(folder).unwrap();
}
