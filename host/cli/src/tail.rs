//! `weir tail`: decisions as they are recorded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use serde_json::Value;
use weir::Effect;

use crate::exit::{Exit, Failed, OrFail, printed};
use crate::terminal::{Paint, plain};

/// Longest time between two looks: not every file system tells of changes.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of the last file that the first lines are looked for in.
const LOOK_BACK: u64 = 4 << 20;

/// Follow decisions as they are recorded
///
/// Reads the records of a host, of this process or another, and shows each decision: when, what, for whom, by
/// which policies, and the name of its record. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir tail                              the folder `audit`
  weir tail audit/ --effect deny         only what was denied
  weir tail -n 100 --once                the last hundred, and no more
  weir tail --json | jq .decision        whole records

Exit codes: 0 with --once or a reader that wants no more, 2 there are no such records."
)]
pub(crate) struct Args {
    /// Folder of the records
    #[arg(value_name = "DIR", default_value = "audit")]
    audit: PathBuf,
    /// How many earlier ones to begin with
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    last: usize,
    /// End after those that are there
    #[arg(long)]
    once: bool,
    /// Only those with this effect: allow, review or deny
    #[arg(long, value_name = "EFFECT", value_parser = effect)]
    effect: Option<Effect>,
    /// Whole records, one JSON object a line
    #[arg(long)]
    json: bool,
}

fn effect(text: &str) -> Result<Effect, String> {
    match text {
        "allow" => Ok(Effect::Allow),
        "review" => Ok(Effect::Review),
        "deny" => Ok(Effect::Deny),
        _ => Err("expected allow, review or deny".to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let files = segments(&args.audit)?;
    let Some(mut file) = files.last().cloned() else {
        return Err(Failed::input(format!("there are no records in `{}`", args.audit.display()))
            .help("name the folder that the host was given by --audit"));
    };
    let mut out = io::stdout().lock();
    let paint = Paint::for_stream(&out);
    let mut reader = open(&file)?;
    let earlier = last(args, &mut reader).or_environment("read", file.display())?;
    let shown = earlier.iter().try_for_each(|line| show(&mut out, args, paint, line));
    if args.once || shown.is_err() {
        return printed(shown, Exit::Done);
    }
    let (_watch, changed) = watch(&args.audit);
    let mut line = Vec::new();
    loop {
        // A line that is not whole yet is gone on with at the next look.
        let grown = reader.read_until(b'\n', &mut line).or_environment("read", file.display())?;
        if line.ends_with(b"\n") {
            let written = record(&line, args).map_or(Ok(()), |record| show(&mut out, args, paint, &record));
            if written.is_err() {
                return printed(written, Exit::Done);
            }
            line.clear();
        } else if grown == 0 {
            match segments(&args.audit)?.into_iter().find(|other| *other > file) {
                // Nothing is added to a file that has a successor.
                Some(next) => {
                    (reader, file) = (open(&next)?, next);
                    line.clear();
                }
                // Whether it heard of a change or not, it looks.
                None => drop(changed.recv_timeout(LOOK)),
            }
        }
    }
}

/// Ends when it is dropped. Without a watcher nothing is heard, but the other end still waits.
struct Watch {
    _watcher: Option<RecommendedWatcher>,
    _tell: SyncSender<()>,
}

/// Tells of changes in a folder, as far as the system does.
fn watch(folder: &Path) -> (Watch, Receiver<()>) {
    let (tell, changed) = sync_channel(1);
    // A change that is not looked at yet stands for all that come before it is.
    let heard = tell.clone();
    let heard = move |_| {
        let _ = heard.try_send(());
    };
    let watcher = notify::recommended_watcher(heard).ok().and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive).ok()?;
        Some(watcher)
    });
    (Watch { _watcher: watcher, _tell: tell }, changed)
}

/// The files of the records, oldest first: their names count.
fn segments(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let entries = std::fs::read_dir(folder).or_input("read", folder.display())?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    Ok(files)
}

fn open(file: &Path) -> Result<BufReader<File>, Failed> {
    File::open(file).map(BufReader::new).or_environment("read", file.display())
}

/// The last records of a file that are wanted; reading goes on behind them.
fn last(args: &Args, reader: &mut BufReader<File>) -> io::Result<Vec<Value>> {
    let length = reader.get_ref().metadata()?.len();
    let mut end = length.saturating_sub(LOOK_BACK);
    reader.seek(SeekFrom::Start(end))?;
    let mut bytes = Vec::new();
    reader.by_ref().take(LOOK_BACK).read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    // In the middle of a file the first line is the end of one.
    let first = if end == 0 { 0 } else { bytes.iter().position(|byte| *byte == b'\n').map_or(whole, |at| at + 1) };
    end += whole as u64;
    reader.seek(SeekFrom::Start(end))?;
    let mut found: Vec<Value> = bytes[first..whole]
        .split(|byte| *byte == b'\n')
        .rev()
        .filter_map(|line| record(line, args))
        .take(args.last)
        .collect();
    found.reverse();
    Ok(found)
}

/// A line's record, if it is a decision that is wanted.
fn record(line: &[u8], args: &Args) -> Option<Value> {
    let record: Value = serde_json::from_slice(line).ok()?;
    let decision = record.get("decision").filter(|_| record["kind"] == "decision")?;
    let wanted = args.effect.is_none_or(|wanted| decision["effect"] == wanted.to_string());
    wanted.then_some(record)
}

fn show(out: &mut impl Write, args: &Args, paint: Paint, record: &Value) -> io::Result<()> {
    if args.json {
        writeln!(out, "{record}")?;
        return out.flush();
    }
    let decision = &record["decision"];
    let text = |value: &Value| plain(value.as_str().unwrap_or("-"));
    let word = text(&decision["effect"]);
    let word = match effect(&word) {
        Ok(effect) => paint.effect(effect, format!("{word:<6}")),
        Err(_) => word,
    };
    let by: Vec<String> = decision["decided_by"].as_array().into_iter().flatten().map(text).collect();
    let (at, tenant, checkpoint) = (text(&record["at"]), text(&decision["tenant"]), text(&decision["checkpoint"]));
    // To the second: what is finer is in the record.
    let at = at.get(..19).unwrap_or(&at).replace('T', " ");
    let name = paint.faint(text(&record["record"]));
    writeln!(out, "{at}  {word}  {checkpoint}  {tenant}  by {}  {name}", by.join(", "))?;
    out.flush()
}
