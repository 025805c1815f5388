//! What a person at a terminal sees, and what a pipe does not: progress bars, and no binary data.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::fd::{AsFd, OwnedFd},
    process::{Command, ExitStatus},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{
    MIB,
    network::{TestNetwork, output, shown},
};

/// Both ends of a terminal of 100 columns.
fn terminal() -> (OwnedFd, File) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&person).expect("a terminal");
    unlockpt(&person).expect("a terminal");
    let name = ptsname(&person, Vec::new()).expect("a terminal").into_string().expect("a terminal");
    let program = OpenOptions::new().read(true).write(true).open(name).expect("writable");
    let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(person.as_fd(), size).expect("a terminal");
    (person, program)
}

/// Runs a command whose stdout and stderr are a terminal; gives what was on the screen.
fn on_terminal(command: &mut Command) -> (ExitStatus, String) {
    let (person, program) = terminal();
    command.env("TERM", "xterm").stderr(program.try_clone().expect("a terminal")).stdout(program);
    let mut child = command.spawn().expect("it starts");
    // The terminal hangs up once nobody but the person has it open.
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut screen = Vec::new();
    let _hung_up = File::from(person).read_to_end(&mut screen);
    (child.wait().expect("it ends"), String::from_utf8_lossy(&screen).into_owned())
}

#[test]
fn bars_show_bytes_rate_and_time_left_to_people_only() {
    let network = TestNetwork::start(5);
    let file = network.file("file", 100 * MIB);
    let (status, screen) = on_terminal(network.dsn().arg("put").arg(&file));
    assert!(status.success(), "{screen}");
    for part in ["encoded", "sent", "confirmed", " of 100.00 MiB", "MiB/s", "s left"] {
        assert!(screen.contains(part), "{part:?} is missing: {screen}");
    }
    let cid = &screen[screen.find("bafib4i").unwrap()..][..59];
    let get = |out: &str| {
        let mut command = network.dsn();
        command.args(["get", cid, "-o"]).arg(network.path(out));
        command
    };
    let (status, screen) = on_terminal(&mut get("first"));
    assert!(status.success(), "{screen}");
    for part in ["fetched", "written", " of 100.00 MiB", "MiB/s", "s left"] {
        assert!(screen.contains(part), "{part:?} is missing: {screen}");
    }
    let piped = output(&mut get("second"));
    assert!(piped.status.success() && piped.stderr.iter().filter(|byte| **byte == b'\n').count() == 1);
    assert!(!String::from_utf8_lossy(&piped.stderr).contains("fetched"), "{}", shown(&piped));
    let (_, screen) = on_terminal(get("third").arg("--json"));
    assert!(!screen.contains(" of 100.00 MiB"), "{screen}");
}

#[test]
fn a_terminal_gets_text_and_no_binary_data() {
    let network = TestNetwork::start(5);
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(network.path(name), bytes).unwrap();
        network.put(&network.path(name))["cid"].as_str().unwrap().to_owned()
    };
    let (text, binary) = (put("text", b"some text\n"), put("binary", b"ELF\0\x01\x02"));
    let (status, screen) = on_terminal(network.dsn().args(["cat", &text]));
    assert!(status.success() && screen.starts_with("some text"), "{screen}");
    let (status, screen) = on_terminal(network.dsn().args(["cat", &binary]));
    assert_eq!(status.code(), Some(2), "{screen}");
    assert!(screen.contains("error: the file is binary and standard output is a terminal"), "{screen}");
    assert!(screen.contains("hint: write it to a file with -o OUT, or pipe it") && !screen.contains("ELF"), "{screen}");
}
