//! Machine code on disk, for one user of one machine.
//!
//! An entry is a file named after what it is the code of and the engine's settings: code, a note of its owner's, the length
//! of the note, and at its end a keyed hash over all of it and the name, so that no entry can stand in for another. The name
//! comes last in it, since whole chunks from the start on are hashed faster. After an upgrade of the engine the names differ, so nothing of the old store is ever looked at. Entries
//! are written whole under another name and renamed, so readers and writers need no lock and a crash leaves nothing half.
//! What is too old to keep goes first when the folder has reached its size.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use crate::digest::Digest;

/// Length of a keyed hash and of its key.
const KEY: usize = 32;
/// Bytes of the length of a note.
const LENGTH: usize = 8;
const KEY_FILE: &str = "key";
const EXTENSION: &str = "code";
/// Bytes the folder may have.
const MOST_BYTES: u64 = 1 << 30;
/// Bytes of one entry that are believed possible.
const LARGEST_ENTRY: u64 = 256 << 20;
/// Bytes that are read and hashed at once: they stay in the processor's cache.
const CHUNK: usize = 64 << 10;
/// A file that is being written is finished within this time, or its writer is dead.
const ABANDONED: Duration = Duration::from_secs(3600);

/// So long an entry counts as just used.
const FRESH: Duration = Duration::from_secs(3600);

/// A folder of machine code.
pub(super) struct Store {
    folder: PathBuf,
    key: [u8; KEY],
    /// Name of the engine's version and settings.
    engine: u64,
    most_bytes: u64,
}

/// A folder that cannot be a store.
#[derive(Debug)]
pub(crate) struct StoreError {
    folder: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Io(io::Error),
    /// Somebody else could write there, and so run code in this process.
    Open(&'static str),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        match &self.why {
            Why::Io(error) => write!(f, "cannot keep machine code in `{folder}`: {error}"),
            Why::Open(what) => write!(
                f,
                "cannot keep machine code in `{folder}`: {what}; only its owner may be able to enter it (mode 0700)"
            ),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            Why::Io(error) => Some(error),
            Why::Open(_) => None,
        }
    }
}

impl Store {
    /// Opens the folder, made if it is missing, for one engine.
    pub(super) fn open(folder: &Path, engine: u64) -> Result<Store, StoreError> {
        let refused = |why| StoreError { folder: folder.to_owned(), why };
        let io = |error| refused(Why::Io(error));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let metadata = fs::symlink_metadata(folder).map_err(io)?;
        if !metadata.is_dir() {
            return Err(refused(Why::Open("it is no folder")));
        }
        own(&metadata).map_err(|what| refused(Why::Open(what)))?;
        let key = key(folder).map_err(io)?;
        Ok(Store { folder: folder.to_owned(), key, engine, most_bytes: MOST_BYTES })
    }

    /// The authenticated file of an entry's code and its note; none where there is none.
    pub(super) fn find(&self, digest: &Digest) -> io::Result<Option<(File, Vec<u8>)>> {
        let name = self.name(digest);
        let path = self.folder.join(&name);
        let opened = OpenOptions::new().read(true).custom_flags(no_follow()).open(&path);
        let mut file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let checked = self.check(&name, &mut file);
        if checked.is_err() {
            // It would be refused again every time. Somebody may have replaced it meanwhile, which costs one compilation.
            fs::remove_file(&path)?;
        }
        let note = checked?;
        // What is used stays. To the hour is enough, and writing it down each time would take as long as reading a small entry.
        if file.metadata()?.modified()?.elapsed().is_ok_and(|age| age > FRESH) {
            file.set_modified(SystemTime::now())?;
        }
        Ok(Some((file, note)))
    }

    /// Whether there is an entry, authentic or not.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        fs::symlink_metadata(self.folder.join(self.name(digest))).is_ok()
    }

    /// Authenticates an entry; the answer is its note.
    fn check(&self, name: &str, file: &mut File) -> io::Result<Vec<u8>> {
        let metadata = file.metadata()?;
        if !metadata.is_file() || own(&metadata).is_err() || metadata.len() > LARGEST_ENTRY {
            return Err(io::Error::other("not an entry of ours"));
        }
        let length = metadata.len().checked_sub(KEY as u64).ok_or_else(|| io::Error::other("cut off"))?;
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        let mut chunk = vec![0; CHUNK.min(length as usize)];
        let mut left = length;
        while left > 0 {
            let part = &mut chunk[..CHUNK.min(left as usize)];
            file.read_exact(part)?;
            hasher.update(part);
            left -= part.len() as u64;
        }
        let mut hash = [0; KEY];
        file.read_exact(&mut hash)?;
        // The comparison of these hashes takes the same time wherever they differ.
        if hasher.update(name.as_bytes()).finalize() != blake3::Hash::from_bytes(hash) {
            return Err(io::Error::other("changed since it was written"));
        }
        let mut noted = [0; LENGTH];
        let end = length.checked_sub(LENGTH as u64).ok_or_else(|| io::Error::other("cut off"))?;
        file.read_exact_at(&mut noted, end)?;
        let noted = u64::from_le_bytes(noted);
        let mut note = vec![0; noted as usize];
        file.read_exact_at(&mut note, end - noted)?;
        Ok(note)
    }

    /// Keeps code with a note.
    pub(super) fn keep(&self, digest: &Digest, code: &[u8], note: &[u8]) -> io::Result<()> {
        let name = self.name(digest);
        let noted = (note.len() as u64).to_le_bytes();
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        let hash = hasher.update(code).update(note).update(&noted).update(name.as_bytes()).finalize();
        self.make_room(code.len() as u64)?;
        let temporary = Temporary::new(&self.folder)?;
        let mut file = &temporary.file;
        file.write_all(code)?;
        file.write_all(note)?;
        file.write_all(&noted)?;
        file.write_all(hash.as_bytes())?;
        temporary.rename(&self.folder.join(name))
    }

    fn name(&self, digest: &Digest) -> String {
        format!("{}-{:016x}.{EXTENSION}", digest.hex(), self.engine)
    }

    /// Removes what was not used for longest until `more` bytes fit, and what dead writers have left.
    fn make_room(&self, more: u64) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Another process may be removing, too.
            let Ok(metadata) = entry.metadata() else { continue };
            let (path, used) = (entry.path(), metadata.modified()?);
            let of = |extension: &str| path.extension().is_some_and(|found| found == extension);
            if of(Temporary::EXTENSION) && used.elapsed().is_ok_and(|age| age > ABANDONED) {
                gone(&path)?;
            } else if of(EXTENSION) {
                entries.push((used, metadata.len(), path));
            }
        }
        entries.sort();
        let mut bytes: u64 = entries.iter().map(|(_, length, _)| length).sum::<u64>() + more;
        for (_, length, path) in entries {
            if bytes <= self.most_bytes {
                break;
            }
            gone(&path)?;
            bytes -= length;
        }
        Ok(())
    }
}

/// A file of its own name that is removed unless it is renamed.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    const EXTENSION: &str = "new";

    fn new(folder: &Path) -> io::Result<Temporary> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let path = folder.join(format!("{}-{number}.{}", std::process::id(), Temporary::EXTENSION));
        // A dead process may have had the same number.
        gone(&path)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Temporary { path, file })
    }

    fn rename(self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}

/// The key of a folder, made by whoever comes first.
fn key(folder: &Path) -> io::Result<[u8; KEY]> {
    let path = folder.join(KEY_FILE);
    if let Some(key) = read_key(&path)? {
        return Ok(key);
    }
    let mut key = [0; KEY];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let temporary = Temporary::new(folder)?;
    (&temporary.file).write_all(&key)?;
    temporary.file.sync_all()?;
    match fs::hard_link(&temporary.path, &path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    read_key(&path)?.ok_or_else(|| io::Error::other("its key has gone"))
}

fn read_key(path: &Path) -> io::Result<Option<[u8; KEY]>> {
    let mut file = match OpenOptions::new().read(true).custom_flags(no_follow()).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    let mut key = [0; KEY];
    if metadata.len() != KEY as u64 || own(&metadata).is_err() {
        return Err(io::Error::other("its file `key` is not ours; remove the folder, it is made anew"));
    }
    file.read_exact(&mut key)?;
    Ok(Some(key))
}

/// Whether nobody else can change it.
fn own(metadata: &fs::Metadata) -> Result<(), &'static str> {
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err("it belongs to somebody else");
    }
    if metadata.mode() & 0o077 != 0 { Err("others have rights in it") } else { Ok(()) }
}

/// Opening a link or a pipe of that name fails at once.
fn no_follow() -> i32 {
    (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32
}

/// Removes a file that another process may have removed before.
fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(folder: &Path) -> Store {
        Store::open(&folder.join("store"), 7).unwrap()
    }

    fn found(store: &Store, module: &[u8]) -> Option<Vec<u8>> {
        let name = store.name(&Digest::of(module));
        store.find(&Digest::of(module)).unwrap_or_default().map(|_| fs::read(store.folder.join(name)).unwrap())
    }

    #[test]
    fn what_is_kept_is_found_by_the_same_engine_only() {
        let folder = tempfile::tempdir().unwrap();
        store(folder.path()).keep(&Digest::of(b"m"), b"code", b"note").unwrap();
        let entry = found(&store(folder.path()), b"m").unwrap();
        assert_eq!((&entry[..8], entry.len()), (&b"codenote"[..], 8 + LENGTH + KEY));
        let note = store(folder.path()).find(&Digest::of(b"m")).unwrap().map(|(_, note)| note);
        assert_eq!(note.as_deref(), Some(&b"note"[..]));
        assert!(found(&store(folder.path()), b"other").is_none());
        let upgraded = Store { engine: 8, ..store(folder.path()) };
        assert!(found(&upgraded, b"m").is_none(), "an upgrade voids the store");
    }

    #[test]
    fn whatever_was_changed_cut_or_moved_is_refused_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let (digest, other) = (Digest::of(b"m"), Digest::of(b"other"));
        let path = store.folder.join(store.name(&digest));
        let spoil: [&dyn Fn(); 6] = [
            &|| fs::write(&path, b"forged code, and no hash of ours at its end, whatever it says").unwrap(),
            &|| fs::write(&path, b"").unwrap(),
            &|| OpenOptions::new().write(true).open(&path).unwrap().set_len(20).unwrap(),
            &|| OpenOptions::new().append(true).open(&path).unwrap().write_all(b"x").unwrap(),
            &|| fs::rename(&path, store.folder.join(store.name(&other))).unwrap(),
            &|| {
                fs::rename(&path, folder.path().join("elsewhere")).unwrap();
                std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
            },
        ];
        for (case, spoil) in spoil.iter().enumerate() {
            store.keep(&digest, b"the code of the module", b"").unwrap();
            spoil();
            assert!(found(&store, b"m").is_none() && found(&store, b"other").is_none(), "case {case}");
            store.keep(&digest, b"the code of the module", b"").unwrap();
            assert!(found(&store, b"m").is_some(), "case {case}: it is replaced");
        }
    }

    #[test]
    fn another_key_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let first = store(folder.path());
        first.keep(&Digest::of(b"m"), b"code", b"note").unwrap();
        fs::remove_file(first.folder.join(KEY_FILE)).unwrap();
        assert!(found(&store(folder.path()), b"m").is_none());
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = store(folder.path()).folder;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        let error = Store::open(&path, 7).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("others have rights in it") && error.contains("0700"), "{error}");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Store::open(&link, 7).is_err());
    }

    #[test]
    fn the_folder_keeps_its_size_and_what_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store { most_bytes: 3_000, ..store(folder.path()) };
        let digest = |number: u8| Digest::of(&[number]);
        for number in 0..10 {
            store.keep(&digest(number), &[number; 800], b"").unwrap();
            // The clock of files is coarse.
            let old = SystemTime::now() - FRESH - Duration::from_secs(100 - u64::from(number));
            File::open(store.folder.join(store.name(&digest(number)))).unwrap().set_modified(old).unwrap();
            assert!(store.find(&digest(0)).unwrap().is_some(), "what is used stays");
        }
        let entries = fs::read_dir(&store.folder).unwrap().map(|entry| entry.unwrap());
        let bytes: u64 = entries.map(|entry| entry.metadata().unwrap().len()).sum();
        assert!(bytes <= 3_000 + (KEY + LENGTH) as u64, "{bytes}");
    }

    #[test]
    fn writers_at_once_leave_whole_entries() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let store = store(folder.path());
                    for round in 0..50u8 {
                        store.keep(&Digest::of(&[round % 5]), &vec![round % 5; 10_000], b"").unwrap();
                        assert!(found(&store, &[round % 5]).is_some());
                    }
                });
            }
        });
        let left = fs::read_dir(folder.path().join("store")).unwrap().count();
        assert_eq!(left, 5 + 1, "five entries and the key");
    }
}
