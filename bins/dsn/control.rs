//! How commands talk to the farmer that runs in the same folder: a socket in it, one line asked, one JSON line answered.
//! The folder also says where the farmer listens, so that commands on this machine find the network through it.

use std::{path::PathBuf, time::Duration};

use dsn_cli::{Exit, Failure};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use crate::folder::Folder;

/// Where the farmer listens and who it is.
const FARMER_FILE: &str = "farmer.json";

/// The farmer's socket.
const SOCKET: &str = "control.sock";

/// Bytes of one question at most.
const QUESTION_MAX_BYTES: u64 = 1024;

/// Bytes of one answer at most.
const ANSWER_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A farmer answers a command on its own machine within this time, or not at all.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// What a running farmer leaves in its folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunningFarmer {
    pub(crate) peer_id: String,
    pub(crate) listen: Vec<String>,
    pub(crate) pid: u32,
}

impl RunningFarmer {
    /// The farmer that runs in the folder, if one does: its lock tells, whatever a dead one left behind.
    pub(crate) fn find(folder: &Folder) -> Option<Self> {
        let lock = std::fs::File::open(folder.path("farmer.lock")).ok()?;
        if lock.try_lock_shared().is_ok() {
            return None;
        }
        serde_json::from_str(&std::fs::read_to_string(folder.path(FARMER_FILE)).ok()?).ok()
    }

    pub(crate) fn leave(&self, folder: &Folder) -> Result<(), Failure> {
        let text = serde_json::to_string(self).expect("strings are JSON");
        std::fs::write(folder.path(FARMER_FILE), text).map_err(|error| Failure::of(Exit::Disk, &error))
    }
}

fn socket(folder: &Folder) -> PathBuf {
    folder.path(SOCKET)
}

/// Listens for commands. A path too long for a socket only costs `dsn status`.
pub(crate) fn listen(folder: &Folder) -> Option<UnixListener> {
    let path = socket(folder);
    // Left behind by a farmer that was killed; the lock says that none runs.
    let _stale = std::fs::remove_file(&path);
    match UnixListener::bind(&path) {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "dsn status cannot reach this farmer");
            None
        }
    }
}

/// Serves one command, unless it takes too long to ask or to listen.
pub(crate) async fn serve(stream: UnixStream, answer: impl AsyncFn(&str) -> String) {
    let exchange = async {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        (&mut stream).take(QUESTION_MAX_BYTES).read_line(&mut line).await?;
        let text = answer(line.trim()).await;
        stream.get_mut().write_all(format!("{text}\n").as_bytes()).await
    };
    // A command that has ended meanwhile needs no answer.
    let _gone = tokio::time::timeout(ANSWER_WAIT, exchange).await;
}

/// Asks the farmer that runs in the folder; none when none does.
pub(crate) async fn ask(folder: &Folder, question: &str) -> Option<String> {
    let exchange = async {
        let mut stream = UnixStream::connect(socket(folder)).await?;
        stream.write_all(format!("{question}\n").as_bytes()).await?;
        let mut text = String::new();
        stream.take(ANSWER_MAX_BYTES).read_to_string(&mut text).await?;
        std::io::Result::Ok(text)
    };
    let answer = tokio::time::timeout(ANSWER_WAIT, exchange).await.ok()?.ok()?;
    (!answer.trim().is_empty()).then(|| answer.trim().to_owned())
}
