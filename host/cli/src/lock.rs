//! `weir lock`: the digests of all files of a set, so that a change of several files is one change.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use weir::Lock;

use crate::exit::{Exit, Failed, OrFail, printed};
use crate::set;
use crate::table::Table;
use crate::terminal::{Paint, counted, plain, say, short_digest};

/// Lock a set: what its files are now is what counts
///
/// Writes SET/weir.lock with the digest of every file. While the lock and the files disagree, no host
/// publishes anything: so change as many files as you like, then lock, and they change as one.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir lock policies/                  write policies/weir.lock, and show what changed
  weir lock policies/ --check          does the lock fit the files? For pipelines
  weir lock policies/ --json           {\"files\":{\"weir.toml\":\"sha256:...\"},\"changed\":true}

A set without a lock is published as its files change, one after the other.

Exit codes: 0 done, 1 the set is refused or, with --check, the lock is missing or does not fit,
2 there is no such folder, 4 the lock cannot be written."
)]
pub(crate) struct Args {
    /// Folder with `weir.toml` and the modules it names
    set: PathBuf,
    /// Write nothing; exit with 1 if the lock is missing or does not fit the files
    #[arg(long)]
    check: bool,
    /// Print the digests as JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    files: &'a BTreeMap<String, weir::Digest>,
    changed: bool,
}

/// Digests by file.
type Files = BTreeMap<String, weir::Digest>;

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let folder = set::folder(&args.set)?;
    let path = folder.join("weir.lock");
    let lock = weir::lock(&folder).map_err(|report| set::refused(&report))?;
    let former = former(&path)?;
    let changed = former.as_ref() != Some(&lock.files);
    if changed && !args.check {
        write(&folder, &path, &lock)?;
    }
    let exit = if changed && args.check { Exit::Denied } else { Exit::Done };
    let mut stdout = io::stdout().lock();
    if args.json {
        let text = serde_json::to_string(&Answer { files: &lock.files, changed }).expect("digests always serialise");
        return printed(writeln!(stdout, "{text}"), exit);
    }
    let paint = Paint::for_stream(&stdout);
    let told = differences(former.as_ref().unwrap_or(&Files::new()), &lock.files);
    printed(told.painted(paint).iter().skip(1).try_for_each(|line| writeln!(stdout, "{line}")), exit)?;
    let (name, files) = (path.display(), counted(lock.files.len() as u64, "file"));
    match (exit, changed, former.is_some()) {
        (Exit::Done, true, _) => printed(writeln!(stdout, "`{name}` is written: {files}"), exit),
        (Exit::Done, false, _) => printed(writeln!(stdout, "`{name}` fits, nothing changed: {files}"), exit),
        (_, _, there) => Err(Failed::refused(if there {
            format!("`{name}` does not fit the files")
        } else {
            format!("there is no lock `{name}`, or none that can be read")
        })
        .help(format!("when they are complete and meant, run `weir lock {}`", args.set.display()))),
    }
}

/// A row for each file that differs.
fn differences(former: &Files, now: &Files) -> Table {
    let mut table = Table::new(&["what", "file", "before", "after"]);
    let mut names: Vec<&String> = former.keys().chain(now.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (before, after) = (former.get(name), now.get(name));
        let what = match (before, after) {
            (before, after) if before == after => continue,
            (None, _) => "new",
            (_, None) => "gone",
            _ => "changed",
        };
        let digest = |digest: Option<&weir::Digest>| digest.map_or("-".to_owned(), short_digest);
        table.row([what.to_owned(), plain(name), digest(before), digest(after)]);
    }
    table
}

/// The files of the lock that is there; none where there is none, or something else in its place.
fn former(path: &Path) -> Result<Option<Files>, Failed> {
    /// As much as a host reads of one.
    const MOST: u64 = 16 << 20;
    let read = || {
        // A pipe in its place would be waited for.
        let regular = fs::metadata(path)?.is_file();
        let mut text = Vec::new();
        match regular {
            true => File::open(path)?.take(MOST).read_to_end(&mut text).map(|_| text),
            false => Err(io::Error::other("not a regular file")),
        }
    };
    let text = match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.or_environment("read", path.display())?,
    };
    match Lock::parse(&path.display().to_string(), &String::from_utf8_lossy(&text)) {
        Ok(lock) => Ok(Some(lock.files)),
        Err(report) => {
            say(&report.to_string());
            Ok(None)
        }
    }
}

/// Writes the lock beside the other one and puts it in its place, so that nobody reads half of it.
fn write(folder: &Path, path: &Path, lock: &Lock) -> Result<(), Failed> {
    let written = || -> io::Result<()> {
        // A host may run as somebody else: readable for whom the umask, or the former lock, says.
        let former = fs::metadata(path).map(|metadata| metadata.permissions()).ok();
        let usual = Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new().prefix(".weir.lock.").permissions(usual).tempfile_in(folder)?;
        if let Some(former) = former {
            file.as_file().set_permissions(former)?;
        }
        write!(file, "{lock}")?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    };
    written().or_environment("write", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_new_changed_or_gone() {
        let digest = |text: &str| weir::Digest::of(text.as_bytes());
        let files =
            |list: &[(&str, &str)]| list.iter().map(|(name, text)| ((*name).to_owned(), digest(text))).collect();
        let table =
            differences(&files(&[("a", "1"), ("b", "1"), ("c", "1")]), &files(&[("b", "2"), ("c", "1"), ("d", "1")]));
        let told: Vec<String> = table.lines()[1..].iter().map(|line| line[..12].trim().to_owned()).collect();
        assert_eq!(told, ["gone     a", "changed  b", "new      d"]);
    }
}
