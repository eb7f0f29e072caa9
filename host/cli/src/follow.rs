//! `weir eval --follow`: a host that follows its set, says what becomes of it, and can be asked.
//!
//! ```text
//! state folder ─► held ─► socket ─► runtime ─┬─ watch ─► events ─► stderr
//!                                            └─ control
//! ```

mod events;

use std::path::Path;
use std::sync::Arc;

use weir::{Runtime, Watch};

use crate::control::client::holder;
use crate::control::{About, Bound, Control};
use crate::exit::Failed;
use crate::state_folder::{Held, StateFolder};
use crate::task::Task;
use crate::terminal::Teller;

/// The place of a host: nobody else follows the set, and whoever asks already waits for the answer.
#[derive(Debug)]
pub(crate) struct Place {
    socket: Bound,
    held: Held,
    /// For the host's answers.
    about: About,
}

/// What a following host does beside judging.
pub(crate) struct Following {
    watch: Watch,
    control: Control,
    events: Option<Task>,
    teller: Option<Teller>,
    /// Released last, when nothing of this host is left.
    _held: Held,
}

impl Place {
    /// Takes the state folder, made if it is missing; it is an error if another host has it.
    pub(crate) async fn take(state: &StateFolder, folder: &Path, audit: &Path) -> Result<Place, Failed> {
        let socket = state.socket()?;
        state.make()?;
        let Some(held) = state.hold()? else { return Err(taken(folder, &socket).await) };
        let socket = Bound::new(&held, &socket)?;
        let absolute =
            |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
        let about = About { started: jiff::Timestamp::now(), folder: absolute(folder), audit: absolute(audit) };
        Ok(Place { socket, held, about })
    }
}

/// Says who has the folder, as far as that one answers.
async fn taken(folder: &Path, socket: &Path) -> Failed {
    let who = match holder(socket).await {
        Some(status) => format!("process {}, which follows `{}`", status.pid, status.folder),
        None => "it does not answer yet".to_owned(),
    };
    Failed::environment(anyhow::anyhow!("a host follows `{}` already: {who}", folder.display()))
        .help("end that one first; a second one needs a state folder of its own: `--state DIR`")
}

impl Following {
    /// Starts to follow; what happens is said where somebody listens. Must be called inside a tokio runtime.
    pub(crate) fn start(
        place: Place,
        runtime: &Arc<Runtime>,
        say: Option<impl Fn(&str) + Send + 'static>,
    ) -> Following {
        let Place { held, socket, about } = place;
        // Before the first look, so that none is missed.
        let (events, teller) = match say.map(Teller::start) {
            Some((lines, teller)) => (Some(events::tell(runtime, lines)), Some(teller)),
            None => (None, None),
        };
        Following { watch: runtime.follow(), control: socket.serve(runtime, about), events, teller, _held: held }
    }

    /// Ends in the order in which nothing is lost: who asks, who publishes, who tells of it.
    pub(crate) async fn end(self) {
        self.control.close().await;
        drop(self.watch);
        if let Some(events) = self.events {
            events.end().await;
        }
        if let Some(teller) = self.teller {
            teller.end();
        }
    }
}
