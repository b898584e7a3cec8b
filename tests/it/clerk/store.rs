//! The stores, by themselves: against files, links, other processes and SIGKILL.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, ErrorKind, Lines, Write},
    path::{Path, PathBuf},
    process::{self, Child, ChildStdout, Command, Stdio},
    thread,
};

use afterbeat::clerk::{FileStore, MemoryStore, StoreLock, TokenStore};

/// A folder of a test's own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let name = format!("store-{test}-{}", process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    fn store(&self) -> FileStore {
        FileStore::new(self.state()).unwrap()
    }

    /// The names in it, in order.
    fn names(&self) -> Vec<String> {
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// This binary once more, as a process that plays a role on a file.
struct Other {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn new(role: &str, state: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "clerk::store::plays_its_role", "--nocapture"])
            .env("STORE_ROLE", role)
            .env("STORE_STATE", state)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits until it says that it is ready.
    fn ready(&mut self) {
        assert!(self.lines.any(|line| line.unwrap() == "ready"));
    }

    /// Lets go on whoever waits.
    fn go(&mut self) {
        self.child.stdin.take().unwrap().write_all(b"\n").unwrap();
    }

    fn end(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

/// Kills it: by SIGKILL, on Unix.
impl Drop for Other {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn say_ready() {
    // The harness has begun a line.
    println!("\nready");
}

fn wait_for_go() {
    io::stdin().read_line(&mut String::new()).unwrap();
}

/// What [`Other`] does; nothing in a run of the tests.
#[test]
fn plays_its_role() {
    let Ok(role) = env::var("STORE_ROLE") else {
        return;
    };
    let store = FileStore::new(env::var_os("STORE_STATE").unwrap()).unwrap();
    match &*role {
        "holder" => {
            let _lock = store.try_lock().unwrap().unwrap();
            say_ready();
            wait_for_go();
        }
        "saver" => {
            // Not left behind by a test that was killed itself.
            thread::spawn(|| {
                wait_for_go();
                process::exit(0);
            });
            let first = store.load().unwrap().map_or(0, |state| number(&state) + 1);
            for n in first.. {
                let _lock = lock(&store);
                store.save(&numbered(n)).unwrap();
                if n == first {
                    say_ready();
                }
            }
        }
        "adder" => {
            say_ready();
            wait_for_go();
            add(&store, 200);
        }
        role => panic!("no role {role}"),
    }
}

fn lock(store: &impl TokenStore) -> StoreLock {
    loop {
        if let Some(lock) = store.try_lock().unwrap() {
            return lock;
        }
        thread::yield_now();
    }
}

fn add(store: &impl TokenStore, times: u32) {
    for _ in 0..times {
        let _lock = lock(store);
        store.save(&numbered(count(store) + 1)).unwrap();
    }
}

fn count(store: &impl TokenStore) -> usize {
    store.load().unwrap().map_or(0, |state| number(&state))
}

/// A state that tells its number, from 1 to 8000 bytes long and more, and whether it
/// is whole.
fn numbered(n: usize) -> Vec<u8> {
    format!("{n},").repeat(1 + n % 1000 * 4).into_bytes()
}

#[track_caller]
fn number(state: &[u8]) -> usize {
    let text = String::from_utf8(state.to_owned()).unwrap();
    let n = text.split(',').next().unwrap().parse().unwrap();
    assert_eq!(text.as_bytes(), numbered(n), "a state in parts");
    n
}

#[track_caller]
fn round_trip(store: &impl TokenStore, clone: &impl TokenStore) {
    assert_eq!(store.load().unwrap(), None);
    for state in [&b"a long state"[..], b"short", b"", b"\0\xff\n"] {
        store.save(state).unwrap();
        assert_eq!(clone.load().unwrap().as_deref(), Some(state));
    }
}

#[track_caller]
fn excludes(store: &impl TokenStore, clone: &impl TokenStore) {
    let held = store.try_lock().unwrap().expect("free");
    for other in [clone.try_lock(), store.try_lock()] {
        assert!(other.unwrap().is_none(), "locked twice");
    }
    clone.save(b"the lock is advisory").unwrap();
    drop(held);
    let held = clone.try_lock().unwrap().expect("free again");
    assert!(store.try_lock().unwrap().is_none(), "locked twice");
    drop(held);
}

#[test]
fn what_was_saved_is_loaded() {
    let folder = Folder::new("round-trip");
    round_trip(&folder.store(), &folder.store());
    let store = MemoryStore::default();
    round_trip(&store, &store.clone());
    assert_eq!(MemoryStore::default().load().unwrap(), None);
}

#[test]
fn a_lock_excludes_within_the_process() {
    let folder = Folder::new("excludes");
    excludes(&folder.store(), &folder.store());
    let store = MemoryStore::default();
    excludes(&store, &store.clone());
    assert!(MemoryStore::default().try_lock().unwrap().is_some());
}

#[test]
fn threads_lose_no_increment() {
    let folder = Folder::new("threads");
    let memory = MemoryStore::default();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| add(&folder.store(), 50));
            scope.spawn(|| add(&memory.clone(), 50));
        }
    });
    assert_eq!((count(&folder.store()), count(&memory)), (100, 100));
}

#[test]
fn a_lock_excludes_other_processes_until_its_holder_is_killed() {
    let folder = Folder::new("holder");
    let store = folder.store();
    let mut other = Other::new("holder", &folder.state());
    other.ready();
    assert!(store.try_lock().unwrap().is_none());
    drop(other);
    assert!(store.try_lock().unwrap().is_some());

    let mut other = Other::new("holder", &folder.state());
    other.ready();
    assert!(store.try_lock().unwrap().is_none());
    other.go();
    other.end();
    assert!(store.try_lock().unwrap().is_some());
    assert_eq!(folder.names(), ["state.lock"]);
}

/// A program that is being started has a copy of every open file for a moment.
#[test]
fn a_dropped_lock_is_free_while_programs_are_started() {
    let folder = Folder::new("started");
    let store = folder.store();
    thread::scope(|scope| {
        let starts = scope.spawn(|| {
            for _ in 0..50 {
                let mut program = Command::new(env::current_exe().unwrap());
                let program = program.arg("--list").stdout(Stdio::null());
                assert!(program.status().unwrap().success());
            }
        });
        while !starts.is_finished() {
            assert!(store.try_lock().unwrap().is_some());
        }
    });
}

#[test]
fn a_process_killed_while_it_saves_leaves_a_whole_state() {
    let folder = Folder::new("killed");
    let store = folder.store();
    let mut last = 0;
    for _ in 0..50 {
        let mut other = Other::new("saver", &folder.state());
        other.ready();
        // Looks for a while, whose length differs, so that the end comes anywhere.
        for _ in 0..fastrand::u32(..500) {
            let n = count(&store);
            assert!(n >= last, "{n} after {last}");
            last = n;
        }
        drop(other);
        assert!(store.try_lock().unwrap().is_some());
        let n = count(&store);
        assert!(n >= last, "{n} after {last}");
        last = n;
    }
    assert!(last >= 49, "each saved at least once");
    store.save(b"and later ones save").unwrap();
    assert_eq!(folder.names(), ["state", "state.lock"]);
}

#[test]
fn processes_lose_no_increment() {
    let folder = Folder::new("adders");
    let mut others = [(); 2].map(|()| Other::new("adder", &folder.state()));
    others.iter_mut().for_each(Other::ready);
    others.iter_mut().for_each(Other::go);
    others.into_iter().for_each(Other::end);
    assert_eq!(count(&folder.store()), 400);
}

#[test]
fn a_cut_state_is_loaded_as_it_is() {
    let folder = Folder::new("cut");
    let store = folder.store();
    store.save(b"0123456789").unwrap();
    let file = fs::OpenOptions::new().write(true).open(folder.state());
    let file = file.unwrap();
    for length in [4, 0] {
        file.set_len(length).unwrap();
        let state = store.load().unwrap().unwrap();
        assert_eq!(state, b"0123456789"[..length as usize]);
    }
}

#[test]
fn a_state_larger_than_1_mib_is_refused() {
    let folder = Folder::new("large");
    let store = folder.store();
    let mut state = vec![7; 1 << 20];
    store.save(&state).unwrap();
    assert_eq!(store.load().unwrap().unwrap(), state);

    state.push(7);
    let saved = store.save(&state).unwrap_err();
    assert_eq!(store.load().unwrap().unwrap().len(), 1 << 20);
    fs::write(folder.state(), &state).unwrap();
    for error in [saved, store.load().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "the state is larger than 1 MiB");
    }
}

#[test]
fn a_path_is_checked_and_resolved_at_once() {
    for path in ["", "/", "..", "some/.."] {
        let error = FileStore::new(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}");
    }
    let here = env::current_dir().unwrap().join("state");
    let store = FileStore::new("state").unwrap();
    assert_eq!(
        format!("{store:?}"),
        format!("FileStore {{ path: {here:?} }}")
    );

    let folder = Folder::new("path");
    fs::write(folder.state(), "a file").unwrap();
    assert!(FileStore::new(folder.state().join("below")).is_err());
}

#[test]
fn no_state_is_shown() {
    let store = MemoryStore::default();
    store.save(b"secret").unwrap();
    assert_eq!(format!("{store:?}"), "MemoryStore(..)");
    let lock = store.try_lock().unwrap();
    assert_eq!(format!("{lock:?}"), "Some(StoreLock(..))");
}

#[cfg(unix)]
mod unix {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
        path::Path,
    };

    use afterbeat::clerk::{FileStore, TokenStore};

    use super::Folder;

    #[track_caller]
    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn everything_is_its_owner_s_alone() {
        let folder = Folder::new("modes");
        let path = folder.0.join("new").join("newer").join("state");
        let store = FileStore::new(&path).unwrap();
        let lock = store.try_lock().unwrap();
        store.save(b"state").unwrap();
        drop(lock);
        for (path, expected) in [
            (folder.0.join("new"), 0o700),
            (folder.0.join("new/newer"), 0o700),
            (path.with_file_name("state.lock"), 0o600),
            (path, 0o600),
        ] {
            assert_eq!(mode(&path), expected, "{path:?}");
        }
    }

    #[test]
    fn a_save_narrows_wide_permissions() {
        let folder = Folder::new("wide");
        fs::write(folder.state(), "old").unwrap();
        set_mode(&folder.state(), 0o666);
        set_mode(&folder.0, 0o755);
        let store = folder.store();
        assert_eq!(store.load().unwrap().unwrap(), b"old");
        assert_eq!(mode(&folder.state()), 0o666);
        store.save(b"new").unwrap();
        assert_eq!(mode(&folder.state()), 0o600);
        assert_eq!(mode(&folder.0), 0o755);
    }

    /// A link to a file, a link to nothing, files of any permissions.
    #[test]
    fn what_stands_at_the_temporary_name_harms_no_save() {
        let folder = Folder::new("litter");
        let store = folder.store();
        let temporary = folder.0.join("state.tmp");
        let elsewhere = folder.0.join("elsewhere");
        fs::write(&elsewhere, "as it was").unwrap();
        let litter: [&dyn Fn(); 4] = [
            &|| symlink(&elsewhere, &temporary).unwrap(),
            &|| symlink(folder.0.join("nothing"), &temporary).unwrap(),
            &|| {
                fs::write(&temporary, "a part of").unwrap();
                set_mode(&temporary, 0o000);
            },
            &|| {
                fs::write(&temporary, "a longer state than the next").unwrap();
                set_mode(&temporary, 0o666);
            },
        ];
        for (n, litter) in litter.iter().enumerate() {
            litter();
            let state = format!("state {n}");
            store.save(state.as_bytes()).unwrap();
            assert!(!folder.state().is_symlink());
            assert_eq!(fs::read_to_string(folder.state()).unwrap(), state);
            assert_eq!(mode(&folder.state()), 0o600);
        }
        assert_eq!(fs::read_to_string(elsewhere).unwrap(), "as it was");
        assert_eq!(folder.names(), ["elsewhere", "state"]);
    }

    #[test]
    fn a_link_to_the_state_is_replaced() {
        let folder = Folder::new("link");
        let elsewhere = folder.0.join("elsewhere");
        fs::write(&elsewhere, "as it was").unwrap();
        symlink(&elsewhere, folder.state()).unwrap();
        let store = folder.store();
        assert_eq!(store.load().unwrap().unwrap(), b"as it was");
        store.save(b"new").unwrap();
        assert_eq!(fs::read_to_string(folder.state()).unwrap(), "new");
        assert_eq!(fs::read_to_string(elsewhere).unwrap(), "as it was");
    }
}
