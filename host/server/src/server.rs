//! A server: its listeners, and how it ends.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use weir::Runtime;

use crate::admin::Admin;
use crate::api::Api;
use crate::credential::Door;
use crate::keys::{KeyError, Keys};
use crate::listener::serve;
use crate::metrics::Counts;
use crate::settings::{Settings, SettingsError};
use crate::socket::{Address, Socket};
use crate::tls::{Tls, TlsError};

/// Who may watch events at once.
const WATCHERS: usize = 64;
/// How often the files of keys and certificates are looked at, and whether records can be written.
const LOOK: Duration = Duration::from_secs(2);

/// Why a server cannot start.
#[derive(Debug)]
pub enum ServeError {
    /// The settings cannot be used.
    Settings(SettingsError),
    /// The keys cannot be used.
    Keys(KeyError),
    /// The certificates cannot be used.
    Tls(TlsError),
    /// An address cannot be listened to.
    Listen(Address, io::Error),
    /// A socket does not tell where it listens.
    Unknown(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Settings(error) => error.fmt(f),
            ServeError::Keys(error) => error.fmt(f),
            ServeError::Tls(error) => write!(f, "cannot encrypt: {error}"),
            ServeError::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            ServeError::Unknown(error) => write!(f, "cannot tell where a socket listens: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// A server that listens. Clients wait until it [runs](Server::run).
pub struct Server {
    settings: Arc<Settings>,
    keys: Option<Arc<Keys>>,
    tls: Option<Arc<Tls>>,
    socket: Socket,
    admin: Option<Socket>,
}

impl Server {
    /// Listens. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Settings, keys, certificates or addresses that cannot be used.
    pub fn bind(settings: Settings) -> Result<Server, ServeError> {
        Server::bind_to(settings, Vec::new())
    }

    /// As [`Server::bind`], to sockets that are open already, such as [`Socket::inherited`] ones: the first for requests, the
    /// second for operators. What is missing is opened as the settings say.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn bind_to(settings: Settings, sockets: Vec<Socket>) -> Result<Server, ServeError> {
        let settings = settings.checked().map_err(ServeError::Settings)?;
        let keys = settings.keys.as_deref().map(Keys::open).transpose().map_err(ServeError::Keys)?.map(Arc::new);
        let tls = settings.tls.as_ref().map(Tls::open).transpose().map_err(ServeError::Tls)?.map(Arc::new);
        let bind = if settings.share_addresses { Socket::bind_shared } else { Socket::bind };
        let mut sockets = sockets.into_iter();
        let mut listen = |address: &Address| match sockets.next() {
            Some(socket) => Ok(socket),
            None => bind(address).map_err(|error| ServeError::Listen(address.clone(), error)),
        };
        let socket = listen(&settings.listen)?.encrypted(tls.clone());
        let admin = settings.admin.as_ref().map(&mut listen).transpose()?;
        // On this machine nobody listens in, and what watches a server seldom has certificates.
        let admin = admin.map(|admin| if local(&admin) { admin } else { admin.encrypted(tls.clone()) });
        // What was handed over may be another address than the settings say.
        let place = |socket: &Socket| socket.address().map_err(ServeError::Unknown);
        let (listen, operators) = (place(&socket)?, admin.as_ref().map(place).transpose()?);
        let settings = Settings { listen, admin: operators, ..settings }.checked().map_err(ServeError::Settings)?;
        Ok(Server { settings: Arc::new(settings), keys, tls, socket, admin })
    }

    /// Where requests are answered: the port is the system's choice where the settings say 0.
    pub fn address(&self) -> &Address {
        &self.settings.listen
    }

    /// Where operators ask, if they can.
    pub fn admin_address(&self) -> Option<&Address> {
        self.settings.admin.as_ref()
    }

    /// Whether requests are encrypted on their way.
    pub fn is_encrypted(&self) -> bool {
        self.socket.is_encrypted()
    }

    /// Answers until `stop` is ready, and then what has begun, for as long as the grace lasts.
    pub async fn run(self, runtime: Arc<Runtime>, stop: impl Future<Output = ()>) {
        let Server { settings, keys, tls, socket, admin } = self;
        let records = Arc::clone(&runtime);
        let (door, counts) = (Arc::new(Door::new(keys.clone(), Arc::clone(&runtime))), Arc::<Counts>::default());
        let api = Api {
            runtime: Arc::clone(&runtime),
            settings: Arc::clone(&settings),
            door: Arc::clone(&door),
            counts: Arc::clone(&counts),
        };
        let (stopping, stopped) = watch::channel(false);
        let answers = tokio::spawn(serve(socket, Arc::clone(&settings), Arc::new(api), stopped.clone()));
        let operators = admin.map(|socket| {
            let watching = Arc::new(Semaphore::new(WATCHERS));
            let (own, tls, stopping) = (Arc::clone(&settings), tls.clone(), stopped.clone());
            let admin = Admin { runtime, door, counts, tls, settings: own, stopped: stopping, watching };
            tokio::spawn(serve(socket, settings, Arc::new(admin), stopped.clone()))
        });
        let look = async {
            let mut recorded = true;
            loop {
                tokio::time::sleep(LOOK).await;
                let works = records.recorder().is_working();
                match (std::mem::replace(&mut recorded, works), works) {
                    (true, false) => {
                        tracing::error!("records cannot be written: decisions are what `when_record_fails` says")
                    }
                    (false, true) => tracing::info!("records are written again"),
                    _ => {}
                }
                keys.iter().for_each(|keys| keys.refresh());
                tls.iter().for_each(|tls| tls.refresh());
            }
        };
        tokio::select! {
            () = stop => {}
            () = look => {}
        }
        stopping.send_replace(true);
        // A listener that panicked has said so; there is nothing left of it to wait for.
        let _ = answers.await;
        if let Some(operators) = operators {
            let _ = operators.await;
        }
    }
}

/// Whether only this machine reaches a socket; one that does not say so is reached by others.
fn local(socket: &Socket) -> bool {
    socket.address().is_ok_and(|address| address.is_local())
}
