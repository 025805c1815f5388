//! Errors as people and scripts see them: three lines on stderr, or one JSON object, and an exit code that says what kind.

use serde::Serialize;

use crate::terminal::note;

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

#[derive(Serialize)]
struct JsonFailure<'a> {
    error: &'a str,
    caused_by: &'a [String],
    hint: Option<&'a str>,
    exit: u8,
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

    /// Tells it: on stderr, in lines or as JSON.
    pub fn report(&self, json: bool) {
        if json {
            let failure = JsonFailure {
                error: &self.error,
                caused_by: &self.caused_by,
                hint: self.hint.as_deref(),
                exit: self.exit as u8,
            };
            note(&serde_json::to_string(&failure).expect("strings and numbers are JSON"));
            return;
        }
        note(&format!("error: {}", self.error));
        self.caused_by.iter().for_each(|cause| note(&format!("caused by: {cause}")));
        if let Some(hint) = &self.hint {
            note(&format!("hint: {hint}"));
        }
    }
}
