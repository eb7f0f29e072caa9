//! `weir serve`: a host that answers over HTTP and follows its set.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Error;
use weir::{Runtime, Source};
use weir_server::socket::Socket;
use weir_server::{Address, ServeError, Server, Settings, TlsSettings};

use crate::eval::executor;
use crate::exit::{Exit, Failed, OrFail};
use crate::follow::{Following, Place};
use crate::interrupt::Interrupt;
use crate::service_manager;
use crate::set;
use crate::state_folder::StateFolder;
use crate::terminal::say;

/// Answer requests over HTTP by a policy set, and follow the set
///
/// POST a request to /v1/evaluate, many to /v1/evaluate/batch; GET /openapi.json says it all. Operators ask
/// the admin address for /livez, /readyz, /metrics, /v1/status, /v1/generations, /v1/events, send sets as JSON
/// to /v1/check and /v1/publish, and go back by POST of JSON to /v1/rollback/N; a browser shows live figures. `weir status`, `generations` and `rollback` work beside it.
///
/// Under systemd the sockets of a socket unit are used, the first for requests and the second for operators, and readiness
/// is told: a restart then refuses no connection.
///
/// Settings are one TOML file, each with a default:
///
///   listen = "127.0.0.1:7171"         where requests are answered; or "unix:/run/weir/weir.sock"
///   admin = "127.0.0.1:7172"          where operators ask, likewise; "" for none
///   insecure = false                  true: listen beyond the loopback without encryption
///   share_addresses = false           true: another server may listen there, too, as a successor does
///   keys = "keys.toml"                who may ask (`weir key`); default: everybody, as tenant `default`
///   tls.certificate = "server.pem"    encrypt; default: no encryption. Read again when it is replaced
///   tls.key = "server.key"
///   tls.client_ca = "clients.pem"     clients with a certificate of these need no key (`weir key new --certificate`)
///   connections = 10000               at once, and from one address:
///   connections_per_address = 5000    what comes beyond is closed at once
///   header_timeout = "5 s"            until a request's head is there; an idle connection is closed after it
///   body_timeout = "10 s"             until its body is there
///   write_timeout = "10 s"            a client that takes nothing for so long is gone
///   body_bytes = 1048576              longest request
///   batch_bytes = 8388608             longest batch
///   batch_requests = 1000             most requests of one
///   set_bytes = 67108864              longest set that an operator sends
///   timeout = "50 ms"                 how long a caller waits who does not say `Weir-Timeout-Ms`
///   longest_timeout = "5 s"           the longest anybody waits, whatever they say, and a batch does
///   grace = "10 s"                    how long what has begun is waited for at the end
#[derive(Debug, clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  weir serve policies/
  weir serve policies/ --listen 127.0.0.1:8080 --config server.toml
  curl -s localhost:7171/v1/evaluate -H 'content-type: application/json' -d '{\"checkpoint\":\"tool.call\"}'

Exit codes: 0 ended by a signal, 1 the set is refused, 2 usage or settings, 4 an address, the disk or the state folder."
)]
pub(crate) struct Args {
    /// Folder with `weir.toml` and the modules it names
    set: PathBuf,
    /// Settings of the server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where requests are answered, instead of the settings' `listen`; port 0 for a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<Address>,
    /// Where operators ask, instead of the settings' `admin`; "" for nowhere. On this machine it is never encrypted, so
    /// that keys are asked for there and certificates are not
    #[arg(long, value_name = "ADDRESS", value_parser = optional)]
    admin: Option<Given>,
    /// Folder for the records; made if it is missing, continued if it is there
    #[arg(long, value_name = "DIR", default_value = "audit")]
    audit: PathBuf,
    /// Folder for compiled policies and the socket, instead of SET/.weir
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// How often to look at the files although nothing was heard of them
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=86_400))]
    rescan: u32,
    /// Threads that judge; default: one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// No word about changes of the set
    #[arg(short, long)]
    quiet: bool,
}

/// An address, or `""` for none.
#[derive(Debug, Clone)]
struct Given(Option<Address>);

fn optional(text: &str) -> Result<Given, String> {
    if text.is_empty() { Ok(Given(None)) } else { text.parse().map(|address| Given(Some(address))) }
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failed> {
    let folder = set::folder(&args.set)?;
    let settings = settings(args)?;
    log();
    let state = StateFolder::of(&folder, args.state.as_deref());
    executor(args.threads)?.block_on(async {
        let interrupt = Interrupt::listen()?;
        let place = Place::take(&state, &folder, &args.audit).await?;
        // Before the set is loaded: clients wait instead of being refused.
        let sockets = Socket::inherited();
        let sockets =
            sockets.map_err(|error| Failed::environment(Error::new(error).context("the sockets of LISTEN_FDS")))?;
        let server = Server::bind_to(settings, sockets).map_err(failed)?;
        let opened = tokio::select! {
            opened = open(args, folder, &state) => opened?,
            () = interrupt.clone().wait() => return Ok(Exit::Done),
        };
        let runtime = Arc::new(opened);
        let following = Following::start(place, &runtime, (!args.quiet).then_some(|line: &str| say(line)));
        listening(&server);
        service_manager::ready();
        server.run(Arc::clone(&runtime), interrupt.clone().wait()).await;
        following.end().await;
        // Dropping it flushes the records, too, should a client of the socket still hold it.
        if let Some(runtime) = Arc::into_inner(runtime) {
            runtime.shutdown(Duration::from_secs(5)).await;
        }
        Ok(Exit::Done)
    })
}

async fn open(args: &Args, folder: PathBuf, state: &StateFolder) -> Result<Runtime, Failed> {
    let builder = Runtime::builder().rescan(Duration::from_secs(args.rescan.into()));
    let builder = builder.store(state.code()).state(state.in_force());
    set::open(builder, Source::dir(folder), &args.audit).await
}

fn settings(args: &Args) -> Result<Settings, Failed> {
    let settings = match &args.config {
        None => Settings::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).or_input("read", path.display())?;
            let settings =
                Settings::parse(&text).map_err(|error| Failed::input(format!("`{}`: {error}", path.display())))?;
            let beside = |file: PathBuf| beside(path, &file);
            let tls = settings.tls.map(|TlsSettings { certificate, key, client_ca }| TlsSettings {
                certificate: beside(certificate),
                key: beside(key),
                client_ca: client_ca.map(beside),
            });
            Settings { keys: settings.keys.map(beside), tls, ..settings }
        }
    };
    let listen = args.listen.clone().unwrap_or(settings.listen);
    let admin = args.admin.as_ref().map_or(settings.admin, |Given(admin)| admin.clone());
    Ok(Settings { listen, admin, ..settings })
}

/// Files that settings name lie beside them.
fn beside(settings: &Path, file: &Path) -> PathBuf {
    settings.parent().unwrap_or(Path::new("")).join(file)
}

fn failed(error: ServeError) -> Failed {
    match error {
        ServeError::Settings(error) => Failed::input(error),
        ServeError::Keys(error) => Failed::input(error).help("`weir key new` makes one"),
        ServeError::Tls(error) => Failed::input(format!("cannot encrypt: {error}")).help("`[tls]` names PEM files"),
        error @ ServeError::Unknown(_) => Failed::environment(error),
        error @ ServeError::Listen(..) => Failed::environment(error).help("`--listen ADDRESS` chooses another one"),
    }
}

/// Says where, for people and for scripts that asked for a free port.
fn listening(server: &Server) {
    let shown = |address: &Address, encrypted: bool| match address {
        Address::Tcp(_) if encrypted => format!("https://{address}"),
        Address::Tcp(_) => format!("http://{address}"),
        Address::Unix(_) => address.to_string(),
    };
    let own = shown(server.address(), server.is_encrypted());
    let admin = server.admin_address().map(|admin| format!(", operators ask {}", shown(admin, !admin.is_local())));
    say(&format!("weir: answers on {own}{}", admin.unwrap_or_default()));
}

/// What a server does beside judging: lines for people on a terminal, JSON for everything else.
fn log() {
    let builder = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() { builder.init() } else { builder.json().init() }
}
