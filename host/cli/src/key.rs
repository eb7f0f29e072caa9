//! `weir key`: who may ask a server.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use weir_server::{KeyFile, Role};

use crate::exit::{Exit, Failed, OrFail, printed};
use crate::table::Table;
use crate::terminal::{Paint, plain, say};

/// Make, list and revoke the keys of a server
///
/// A key belongs to one tenant and one role. The file holds hashes: a key is shown once, when it is made.
/// To rotate, make a second one, hand it out, revoke the first; a server that runs sees it within seconds.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir key new acme/claims                         for callers that ask on behalf of a tenant
  weir key new '*'                                 for a gateway that names the tenant in each request
  weir key new ops --role admin --expires 90d
  weir key new acme/claims --certificate spiffe://acme.example/claims
  weir key list
  weir key revoke 4f2a91c03b7e

Exit codes: 0 done, 2 usage, or a file that is none of keys, 4 the disk."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    /// The file of keys that the server's settings name
    #[arg(long, value_name = "FILE", default_value = "keys.toml", global = true)]
    keys: PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key, and show it this once
    New {
        /// On whose behalf its holder asks; `*` where each request names its tenant
        tenant: String,
        /// What it is for: evaluator, publisher, auditor or admin
        #[arg(long, default_value = "evaluator")]
        role: Role,
        /// How long it is good for, such as 90d; default: for ever
        #[arg(long, value_name = "TIME")]
        expires: Option<Span>,
        /// No key but a client's certificate: an address (URI) or host name it is for, from the authority `tls.client_ca`
        #[arg(long, value_name = "NAME")]
        certificate: Option<String>,
    },
    /// Show which keys there are
    List,
    /// Take a key back
    Revoke {
        /// Its identifier, as `list` shows it
        id: String,
    },
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let path = &args.keys;
    // Of two that change the file at once, the second begins with what the first has written.
    let _alone = (!matches!(args.command, Command::List)).then(|| locked(path)).transpose()?;
    let mut file = match path.exists() {
        true => KeyFile::read(path).map_err(Failed::input)?,
        false if matches!(args.command, Command::New { .. }) => KeyFile::default(),
        false => {
            let why = format!("there is no file of keys `{}`", path.display());
            return Err(Failed::input(why).help("`weir key new` makes one, `--keys FILE` names another"));
        }
    };
    match &args.command {
        Command::New { tenant, role, expires, certificate } => {
            let now = Timestamp::now();
            // Days are as long as those of UTC.
            let until = expires.map(|time| now.to_zoned_datetime(TimeZone::UTC).checked_add(time)).transpose();
            let until = until.map_err(|error| Failed::input(format!("--expires: {error}")))?;
            let until = until.map(|until| until.timestamp());
            if until.is_some_and(|until| until <= now) {
                return Err(Failed::input("--expires: the key would be dead already").help("such as `--expires 90d`"));
            }
            if let Some(name) = certificate {
                let id = file.add_certificate(name, tenant, *role, now, until).map_err(Failed::input)?;
                write(path, &file)?;
                say(&format!(
                    "weir: key {id} in `{}` is whoever has a certificate for {}",
                    path.display(),
                    plain(name)
                ));
                return Ok(Exit::Done);
            }
            let key = file.add(tenant, *role, now, until).map_err(Failed::input)?;
            write(path, &file)?;
            say(&format!("weir: key {} is in `{}`; this is the only time it is shown", key.id, path.display()));
            printed(writeln!(io::stdout().lock(), "{}", key.secret), Exit::Done)
        }
        Command::List => {
            let mut stdout = io::stdout().lock();
            printed(list(&mut stdout, &file), Exit::Done)
        }
        Command::Revoke { id } => {
            if file.keys.remove(id).is_none() {
                return Err(Failed::input(format!("`{}` has no key {}", path.display(), plain(id)))
                    .help("`weir key list` shows which there are"));
            }
            write(path, &file)?;
            say(&format!("weir: key {} is revoked", plain(id)));
            Ok(Exit::Done)
        }
    }
}

fn list(out: &mut impl Write, file: &KeyFile) -> io::Result<()> {
    let paint = Paint::for_stream(&io::stdout());
    let mut table = Table::new(&["key", "tenant", "role", "made", "expires", "certificate"]);
    for (id, key) in &file.keys {
        let role = serde_json::to_value(key.role).unwrap_or_default();
        let expires = key.expires.map_or("never".to_owned(), |at| at.to_string());
        let certificate = key.certificate.as_deref().map(plain).unwrap_or_default();
        let role = role.as_str().unwrap_or_default().to_owned();
        table.row([id.clone(), plain(&key.tenant), role, key.created.to_string(), expires, certificate]);
    }
    table.painted(paint).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The folder of a file, for one process at a time until it is dropped.
fn locked(path: &Path) -> Result<File, Failed> {
    let folder = folder(path);
    let locked = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
    locked.or_environment("lock", folder.display())
}

/// Puts a new file in the place of the old one, so that a server never reads half of it: for its owner alone, who may be the
/// server's user and not whoever calls this.
fn write(path: &Path, file: &KeyFile) -> Result<(), Failed> {
    let new = path.with_extension("toml.new");
    let written = || -> io::Result<()> {
        // Somebody who was killed has left it.
        let _ = std::fs::remove_file(&new);
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let give = |to: &Metadata| fchown(&out, Some(to.uid()), Some(to.gid()));
        match std::fs::metadata(path) {
            Ok(former) => give(&former)?,
            // Root makes the first file in a server's own folder for that server; for others it stays their own.
            Err(_) => _ = std::fs::metadata(folder(path)).and_then(|folder| give(&folder)),
        }
        out.write_all(file.text().as_bytes())?;
        out.sync_all()?;
        std::fs::rename(&new, path)
    };
    written().or_environment("write", path.display())
}
