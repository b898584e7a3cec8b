//! The store that is a file.

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::{self, Path, PathBuf},
};

use fs4::{FileExt, TryLockError};

use super::store::{StoreLock, TokenStore};

/// The largest state that a file may hold.
const LIMIT: u64 = 1 << 20;

/// Keeps the state in a file of the user's own.
///
/// Two files stand beside it, named after it: `.lock`, whose lock the system
/// releases when its holder dies, and which is never to be deleted, since whoever
/// creates it anew would share the lock; and, during a save, `.tmp`. A file or a link
/// that stands there is removed first, so a save that was cut short harms no later
/// one.
///
/// On Unix the three are readable and writable by their owner alone. A state whose
/// permissions are wider is loaded, as refusing it would take back nothing that was
/// read, and the next save narrows them. A symbolic link in its place is followed by
/// a load and replaced by a save; one user's processes are to name one path. The
/// folder's permissions are left as they are: who may write there may replace the
/// state.
///
/// Locks are as good as the file system's: keep it on a local one. Each call blocks
/// for as long as the disk takes.
///
/// # Examples
///
/// ```
/// use afterbeat::clerk::{FileStore, TokenStore};
///
/// # fn main() -> std::io::Result<()> {
/// # let folder = std::env::temp_dir().join(format!("afterbeat-{}", std::process::id()));
/// let store = FileStore::new(folder.join("client"))?;
/// assert_eq!(store.load()?, None);
///
/// let lock = store.try_lock()?;
/// assert!(lock.is_some() && store.try_lock()?.is_none());
/// store.save(b"state")?;
/// drop(lock);
/// assert!(store.try_lock()?.is_some());
/// assert_eq!(store.load()?.as_deref(), Some(&b"state"[..]));
/// # std::fs::remove_dir_all(folder)
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FileStore {
    path: PathBuf,
}

impl FileStore {
    /// Names the file, and creates its folder where there is none: on Unix for the
    /// user alone. A relative path is resolved once, here.
    ///
    /// # Errors
    ///
    /// The path ends in no file's name, or the folder cannot be created.
    ///
    /// # Examples
    ///
    /// ```
    /// use afterbeat::clerk::FileStore;
    ///
    /// let error = FileStore::new("..").unwrap_err();
    /// assert_eq!(error.to_string(), "the path ends in no file's name");
    /// ```
    pub fn new(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path::absolute(path.into())?;
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            let rule = "the path ends in no file's name";
            return Err(io::Error::new(ErrorKind::InvalidInput, rule));
        };
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        builder.mode(0o700);
        builder.recursive(true).create(folder)?;
        Ok(Self {
            path: folder.join(name),
        })
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }
}

impl TokenStore for FileStore {
    fn try_lock(&self) -> io::Result<Option<StoreLock>> {
        let file = private().create(true).open(self.beside(".lock"))?;
        match FileExt::try_lock(&file) {
            Ok(()) => Ok(Some(StoreLock::new(Locked(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Returns the bytes of the file as they are: none, or a part, where somebody
    /// else has cut it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is larger than 1 MiB.
    fn load(&self) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut state = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut state)?;
        bounded(&state)?;
        Ok(Some(state))
    }

    /// Replaces the file, and returns when the new one would outlive a loss of power.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or would be larger than 1 MiB.
    fn save(&self, state: &[u8]) -> io::Result<()> {
        bounded(state)?;
        let temporary = self.beside(".tmp");
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed?,
        }
        // Never through a link, and never into a file with permissions of its own.
        let mut file = private().create_new(true).open(&temporary)?;
        file.write_all(state)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, &self.path)?;
        self.path.parent().map_or(Ok(()), sync_folder)
    }
}

/// Unlocks when it is dropped. Closing alone would be late: a program that is being
/// started has a copy of each open file for a moment, and Windows takes its time.
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        // An error here is followed by the closing, which unlocks as well.
        let _ = FileExt::unlock(&self.0);
    }
}

/// How a file is opened that is its owner's alone if it is new.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    options.mode(0o600);
    options
}

fn bounded(state: &[u8]) -> io::Result<()> {
    if u64::try_from(state.len()).is_ok_and(|length| length <= LIMIT) {
        return Ok(());
    }
    let rule = "the state is larger than 1 MiB";
    Err(io::Error::new(ErrorKind::FileTooLarge, rule))
}

/// Makes a rename last; elsewhere than on Unix a folder cannot be opened.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
