//! Where a get writes: a file, a folder, or standard output; and what becomes of it when the get fails.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use dsn_cli::{Exit, Failure, stdout_is_terminal};
use dsn_client::{
    GetError,
    output::{FileOutput, Output, OutputError, Overwrite, PipeOutput},
    tree::DiskTreeOutput,
};
use dsn_core::hash::Hash;

use crate::{args::Get, failures, target::Target};

/// Standard output when a person looks at it: only text goes there.
struct TextOnly<W>(W);

impl<W: Write> Write for TextOnly<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "binary data"));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether the bytes go to standard output.
pub(super) fn is_pipe(path: &Path) -> bool {
    path == Path::new("-")
}

/// Where the bytes go, and under which name until they are complete.
pub(super) fn open(path: &Path, force: bool) -> Result<(Box<dyn Output>, Option<PathBuf>), Failure> {
    if is_pipe(path) {
        let output: Box<dyn Output> = if stdout_is_terminal() {
            Box::new(PipeOutput::new(TextOnly(io::stdout())))
        } else {
            Box::new(PipeOutput::new(io::stdout()))
        };
        return Ok((output, None));
    }
    let overwrite = if force { Overwrite::Replace } else { Overwrite::Never };
    let output = FileOutput::new(path, overwrite).map_err(|error| failures::output(&error))?;
    let part = output.part_path().to_path_buf();
    Ok((Box::new(output), Some(part)))
}

/// Whether something is there that may not be replaced; asked before anything is fetched.
pub(crate) fn check_free(path: &Path, force: bool) -> Result<(), Failure> {
    if is_pipe(path) || force || path.symlink_metadata().is_err() {
        return Ok(());
    }
    let failure = Failure::of(Exit::Usage, &OutputError::Exists { path: path.into() });
    Err(failure.hint("choose another name with -o OUT, or replace it with --force"))
}

/// Where a folder goes.
pub(super) fn open_folder(path: &Path, target: &Target, force: bool) -> Result<DiskTreeOutput, Failure> {
    let overwrite = if force { Overwrite::Replace } else { Overwrite::Never };
    let within = target.path.as_ref().map(|path| path.as_bytes()).unwrap_or_default();
    let what = Hash::of(&[target.cid.0.as_bytes(), within].concat()).to_string();
    DiskTreeOutput::new(path, &what, overwrite).map_err(|error| failures::output(&error))
}

/// What was begun of a part of a file is of no use to anybody: it is not resumed.
pub(super) fn discard(part: Option<&Path>) {
    if let Some(part) = part {
        // What cannot be removed either was never written.
        let _gone = if part.is_dir() { std::fs::remove_dir_all(part) } else { std::fs::remove_file(part) };
    }
}

/// What went wrong, wherever in a folder it did.
fn innermost(error: &GetError) -> &GetError {
    match error {
        GetError::Within { error, .. } => innermost(error),
        error => error,
    }
}

/// A full disk needs its space back more than we need what was fetched.
pub(super) fn failure(error: &GetError, part: Option<&Path>, args: &Get) -> Failure {
    match innermost(error) {
        GetError::Output(OutputError::DiskFull { .. }) if !args.out.keep_partial => {
            discard(part);
        }
        GetError::Output(OutputError::Write { source, .. }) if source.kind() == io::ErrorKind::InvalidInput => {
            return Failure::new(Exit::Usage, "the file is binary and standard output is a terminal")
                .hint("write it to a file with -o OUT, or pipe it");
        }
        GetError::Stalled { .. } if args.range.is_some() => {
            return Failure::of(Exit::NotEnough, error).hint("try again");
        }
        _ => {}
    }
    failures::get(error)
}
