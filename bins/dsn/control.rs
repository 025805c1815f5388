//! How commands talk to the farmer that runs in the same folder: a socket in it, one line asked, one JSON line answered.
//! An answer that takes long is preceded by empty lines, so that the asker knows that it comes. The folder also says where the farmer listens, so that commands on this machine find the network through it.

use std::{path::PathBuf, time::Duration};

use dsn_cli::{Exit, Failure, note};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
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

/// A farmer answers a command on its own machine within this time, or says that it is at it, or not at all.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// A farmer that takes longer over an answer says so this often. Often enough to be heard in time on a busy machine.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
const _: () = assert!(SIGN_OF_LIFE.as_secs() * 5 <= ANSWER_WAIT.as_secs());

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
        if !is_there(folder) {
            return None;
        }
        Self::last(folder)
    }

    /// The farmer that ran in the folder last.
    pub(crate) fn last(folder: &Folder) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(folder.path(FARMER_FILE)).ok()?).ok()
    }

    pub(crate) fn leave(&self, folder: &Folder) -> Result<(), Failure> {
        let text = serde_json::to_string(self).expect("strings are JSON");
        folder.replace(FARMER_FILE, text.as_bytes()).map_err(|error| Failure::of(Exit::Disk, &error))
    }
}

/// Whether a farmer runs in the folder, be it that it is only starting.
pub(crate) fn is_there(folder: &Folder) -> bool {
    let lock = std::fs::File::open(folder.path("farmer.lock"));
    lock.is_ok_and(|lock| lock.try_lock_shared().is_err())
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

/// Serves one command, unless it takes too long to ask or to listen. However long the answer takes: a command that has
/// ended meanwhile needs none, and its question is dropped.
pub(crate) async fn serve(stream: UnixStream, answer: impl AsyncFn(&str) -> String) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let asked = async { (&mut stream).take(QUESTION_MAX_BYTES).read_line(&mut line).await };
    if !matches!(tokio::time::timeout(ANSWER_WAIT, asked).await, Ok(Ok(_))) {
        return;
    }
    let mut answer = std::pin::pin!(answer(line.trim()));
    loop {
        let (text, is_last) = match tokio::time::timeout(SIGN_OF_LIFE, &mut answer).await {
            Ok(text) => (text, true),
            Err(_still_at_it) => (String::new(), false),
        };
        if !say(stream.get_mut(), &text).await || is_last {
            return;
        }
    }
}

/// Writes a line; tells whether somebody listens.
async fn say(to: &mut (impl AsyncWrite + Unpin), line: &str) -> bool {
    let line = format!("{line}\n");
    matches!(tokio::time::timeout(ANSWER_WAIT, to.write_all(line.as_bytes())).await, Ok(Ok(())))
}

/// Asks the farmer that runs in the folder; none when none does, or it falls silent. Says so when the answer takes long.
pub(crate) async fn ask(folder: &Folder, question: &str) -> Option<String> {
    let mut stream = tokio::time::timeout(ANSWER_WAIT, UnixStream::connect(socket(folder))).await.ok()?.ok()?;
    if !say(&mut stream, question).await {
        return None;
    }
    let mut lines = BufReader::new(stream.take(ANSWER_MAX_BYTES)).lines();
    let mut is_said = false;
    loop {
        let line = tokio::time::timeout(ANSWER_WAIT, lines.next_line()).await.ok()?.ok()??;
        if !line.trim().is_empty() {
            return Some(line);
        }
        if !std::mem::replace(&mut is_said, true) {
            note("the farmer is still at it; Ctrl-C gives up");
        }
    }
}
