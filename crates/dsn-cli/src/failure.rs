//! Errors as people and scripts see them: three lines on stderr, or one JSON object, and an exit code that says what kind.

use serde::{Deserialize, Serialize};

use crate::terminal::{READER_GONE, ReaderGone, note};

/// What every bug of ours asks for.
const REPORT_HINT: &str = "this is a bug of dsn: please report it, with the command and these lines";

/// Why a command ended as it did; the number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// A bug of ours.
    Internal = 1,
    /// Wrong arguments.
    Usage = 2,
    /// Nobody knows it.
    NotFound = 3,
    /// Too few pieces or farmers.
    NotEnough = 4,
    /// Bytes that are not what they should be.
    Integrity = 5,
    /// A key is missing, wrong or open to others.
    Key = 6,
    /// The network cannot be reached.
    Network = 7,
    /// The local disk.
    Disk = 8,
    /// The configuration.
    Configuration = 9,
    /// Another process is at it.
    AlreadyRunning = 10,
    /// Ctrl-C or SIGTERM.
    Interrupted = 130,
    /// Nobody reads the results any more.
    ReaderGone = READER_GONE,
}

/// A failed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub exit: Exit,
    /// What went wrong.
    pub error: String,
    /// Why, outermost first.
    pub caused_by: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct JsonFailure {
    error: String,
    caused_by: Vec<String>,
    hint: Option<String>,
    exit: u8,
}

impl Exit {
    const ALL: [Self; 12] = [
        Self::Internal,
        Self::Usage,
        Self::NotFound,
        Self::NotEnough,
        Self::Integrity,
        Self::Key,
        Self::Network,
        Self::Disk,
        Self::Configuration,
        Self::AlreadyRunning,
        Self::Interrupted,
        Self::ReaderGone,
    ];
}

impl From<ReaderGone> for Failure {
    fn from(ReaderGone: ReaderGone) -> Self {
        Self::new(Exit::ReaderGone, "nobody reads the results")
    }
}

impl Failure {
    /// A failure with neither cause nor hint.
    pub fn new(exit: Exit, error: impl Into<String>) -> Self {
        Self { exit, error: error.into(), caused_by: Vec::new(), hint: None }
    }

    /// A failure described by an error and its sources.
    pub fn of(exit: Exit, error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string);
        Self { exit, error: error.to_string(), caused_by: causes.collect(), hint: None }
    }

    /// Says what was being done; what was said so far becomes the cause.
    #[must_use]
    pub fn named(mut self, error: impl Into<String>) -> Self {
        let cause = std::mem::replace(&mut self.error, error.into());
        self.caused_by.insert(0, cause);
        self
    }

    /// Adds a cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.caused_by.push(cause.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What another `dsn` told with [`Self::report`] as JSON.
    pub fn from_json(line: &str) -> Option<Self> {
        let JsonFailure { error, caused_by, hint, exit } = serde_json::from_str(line).ok()?;
        let exit = Exit::ALL.into_iter().find(|known| *known as u8 == exit)?;
        Some(Self { exit, error, caused_by, hint })
    }

    /// Tells it: on stderr, in lines or as JSON. That its reader has gone is no news to whoever closed the pipe.
    pub fn report(&self, json: bool) {
        if self.exit == Exit::ReaderGone {
            return;
        }
        let note_lines = |text: String| text.lines().for_each(note);
        note_lines(if json { self.to_json() } else { self.to_lines() });
    }

    fn advice(&self) -> Option<&str> {
        self.hint.as_deref().or((self.exit == Exit::Internal).then_some(REPORT_HINT))
    }

    fn to_json(&self) -> String {
        let (error, caused_by) = (self.error.clone(), self.caused_by.clone());
        let failure = JsonFailure { error, caused_by, hint: self.advice().map(str::to_owned), exit: self.exit as u8 };
        serde_json::to_string(&failure).expect("strings and numbers are JSON")
    }

    /// A line break in a text of the system would look like the next line of ours.
    fn to_lines(&self) -> String {
        let causes = self.caused_by.iter().map(|cause| ("caused by", cause.as_str()));
        let lines = std::iter::once(("error", self.error.as_str())).chain(causes);
        let lines = lines.chain(self.advice().map(|hint| ("hint", hint)));
        lines.map(|(what, text)| format!("{what}: {}", text.trim().replace('\n', " "))).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_its_json_form() {
        let failure = Failure::new(Exit::Disk, "cannot write").because("no room").hint("free some");
        assert_eq!(Failure::from_json(&failure.to_json()), Some(failure));
        assert_eq!(Failure::from_json("{}"), None);
        assert!(Exit::ALL.into_iter().all(|exit| {
            let read = Failure::from_json(&Failure::new(exit, "x").hint("y").to_json());
            read.is_some_and(|read| read.exit == exit)
        }));
    }

    #[test]
    fn an_error_is_told_in_lines_of_their_own() {
        let failure = Failure::new(Exit::Disk, "cannot write").because("two\nlines").hint("free some");
        assert_eq!(failure.to_lines(), "error: cannot write\ncaused by: two lines\nhint: free some");
        assert!(Failure::new(Exit::Internal, "broken").to_lines().contains("please report"));
    }
}
