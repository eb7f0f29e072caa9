//! A server: its listeners, and how it ends.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use weir::Runtime;

use crate::admin::Admin;
use crate::api::Api;
use crate::credential::Door;
use crate::keys::{KeyError, Keys};
use crate::listener::{bind, serve};
use crate::metrics::Counts;
use crate::settings::{Settings, SettingsError};

/// How often the file of keys is looked at.
const KEYS_LOOK: Duration = Duration::from_secs(2);

/// Why a server cannot start.
#[derive(Debug)]
pub enum ServeError {
    /// The settings cannot be used.
    Settings(SettingsError),
    /// The keys cannot be used.
    Keys(KeyError),
    /// An address cannot be listened to.
    Listen(SocketAddr, io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Settings(error) => error.fmt(f),
            ServeError::Keys(error) => error.fmt(f),
            ServeError::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// A server that listens. Clients wait until it [runs](Server::run).
pub struct Server {
    settings: Arc<Settings>,
    keys: Option<Arc<Keys>>,
    listener: TcpListener,
    admin: Option<TcpListener>,
}

impl Server {
    /// Listens. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Settings, keys or addresses that cannot be used.
    pub fn bind(settings: Settings) -> Result<Server, ServeError> {
        let settings = settings.checked().map_err(ServeError::Settings)?;
        let keys = settings.keys.as_deref().map(Keys::open).transpose().map_err(ServeError::Keys)?.map(Arc::new);
        let listen = |address: SocketAddr| bind(address).map_err(|error| ServeError::Listen(address, error));
        let (listener, admin) = (listen(settings.listen)?, settings.admin.map(listen).transpose()?);
        Ok(Server { settings: Arc::new(settings), keys, listener, admin })
    }

    /// Where requests are answered: the port is the system's choice where the settings say 0.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where operators ask, if they can.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn admin_address(&self) -> io::Result<Option<SocketAddr>> {
        self.admin.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// Answers until `stop` is ready, and then what has begun, for as long as the grace lasts.
    pub async fn run(self, runtime: Arc<Runtime>, stop: impl Future<Output = ()>) {
        let Server { settings, keys, listener, admin } = self;
        let (door, counts) = (Arc::new(Door::new(keys.clone())), Arc::<Counts>::default());
        let api = Api {
            runtime: Arc::clone(&runtime),
            settings: Arc::clone(&settings),
            door: Arc::clone(&door),
            counts: Arc::clone(&counts),
        };
        let (stopping, stopped) = watch::channel(false);
        let answers = tokio::spawn(serve(listener, Arc::clone(&settings), Arc::new(api), stopped.clone()));
        let operators = admin.map(|listener| {
            let admin = Admin { runtime, door, counts };
            tokio::spawn(serve(listener, settings, Arc::new(admin), stopped.clone()))
        });
        let look = async {
            let Some(keys) = keys else { return std::future::pending().await };
            loop {
                tokio::time::sleep(KEYS_LOOK).await;
                keys.refresh();
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
