//! A child process that a test kills: this binary again, told by its variables to run one test, which says what it has
//! done on its standard output, a line each. Not here: when to kill it, and what must be there then.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Lines, Write as _},
    path::{Path, PathBuf},
    process::{self, ChildStdout, Command, Stdio},
};

/// The store's folder, for the child.
const FOLDER: &str = "DSN_STORE_TEST_CHILD_FOLDER";
/// The round, for the child.
const ROUND: &str = "DSN_STORE_TEST_CHILD_ROUND";

/// What begins every line of a child: the test harness prints others.
const MARK: &str = "child: ";

/// What a child is told: the store's folder and the round. None in a test that is no child, and has nothing to do.
pub(crate) fn order() -> Option<(PathBuf, u64)> {
    let round = env::var(ROUND).ok()?;
    Some((env::var_os(FOLDER)?.into(), round.parse().expect("a number")))
}

/// Tells the parent what is done.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{MARK}{line}").and_then(|()| out.flush()).expect("the parent reads");
}

/// A child that runs.
pub(crate) struct Child {
    process: process::Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts a child that runs `test`.
    pub(crate) fn start(test: &str, folder: &Path, round: u64) -> Self {
        let mut process = Command::new(env::current_exe().expect("this binary"))
            .args(["--exact", test, "--nocapture"])
            .env(FOLDER, folder)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { process, lines }
    }

    /// What it says; ends when it does.
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = String> {
        let ours = |line: String| line.strip_prefix(MARK).map(str::to_owned);
        self.lines.by_ref().map_while(Result::ok).filter_map(ours)
    }

    /// Kills it, which takes effect once the system lets it; what else it said is still there.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("killed or gone");
    }

    /// Waits until it is gone.
    pub(crate) fn wait(&mut self) {
        self.process.wait().expect("gone");
    }

    /// Reads so many lines, kills it then, and gives all it said.
    pub(crate) fn kill_after(mut self, lines: usize) -> Vec<String> {
        let mut said: Vec<_> = self.lines().take(lines).collect();
        self.kill();
        said.extend(self.lines());
        self.wait();
        said
    }
}

/// How often to kill: as often as usual, or as the variable says.
pub(crate) fn rounds(variable: &str, usual: u64) -> u64 {
    env::var(variable).map_or(usual, |text| text.parse().expect("a number of rounds"))
}
