//! The command under a pseudo-terminal, as a person at a terminal runs it.

use std::{
    env,
    fs::File,
    io::{self, Read, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, open},
    process::{ioctl_tiocsctty, setsid},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::command::{NODE_VARIABLES, command};

/// The size of the terminal.
const SIZE: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };

/// No command of a test takes so long. It bounds how long a failing test hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// The environment variable with the arguments of the command, one per line.
const ARGUMENTS: &str = "BLOCKLOOM_TEST_ARGUMENTS";

/// A command that runs under a pseudo-terminal.
pub(crate) struct Session {
    child: Child,
    keyboard: File,
    chunks: mpsc::Receiver<Vec<u8>>,
    /// What the terminal got so far.
    output: Vec<u8>,
}

impl Session {
    /// Starts the command in a folder.
    pub(crate) fn start(arguments: &[&str], folder: &Path) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        tcsetwinsize(&controller, SIZE).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let terminal = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        for name in NODE_VARIABLES {
            command.env_remove(name);
        }
        let child = command
            .args(["--exact", "pty::become_the_command", "--ignored"])
            .env(ARGUMENTS, arguments.join("\n"))
            .env_remove("NO_COLOR")
            .current_dir(folder)
            .stdin(Stdio::from(terminal))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let keyboard = File::from(controller);
        let screen = keyboard.try_clone().unwrap();
        let (sender, chunks) = mpsc::channel();
        thread::spawn(move || read_all(screen, &sender));
        Self { child, keyboard, chunks, output: Vec::new() }
    }

    /// Waits until the terminal shows the text. Returns false if the command ended before.
    pub(crate) fn wait_for(&mut self, text: &str) -> bool {
        let deadline = Instant::now() + LIMIT;
        loop {
            if self.text().contains(text) {
                return true;
            }
            match self.chunks.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(chunk) => self.output.extend(chunk),
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("no {text} after {LIMIT:?}: {}", self.text()),
            }
        }
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&mut self) {
        self.keyboard.write_all(b"\x03").unwrap();
    }

    /// Waits for the end of the command. Returns what the terminal got as well.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        assert!(!self.wait_for("\0"), "the command prints no zero byte");
        (self.child.wait().unwrap(), self.text())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until no process has the terminal open: that is an error of reading.
fn read_all(mut screen: File, sender: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = screen.read(&mut buffer) {
        if sender.send(buffer[..length].to_vec()).is_err() {
            return;
        }
    }
}

/// The lines that a terminal shows, without escape codes. A carriage return starts a line again.
pub(crate) fn lines(output: &str) -> Vec<String> {
    let shown = |line: &str| {
        let line = line.trim_end_matches('\r');
        without_escapes(line.rsplit('\r').next().unwrap_or(line))
    };
    output.split('\n').map(shown).collect()
}

fn without_escapes(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        // An escape code ends with its first letter.
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |end| end + 1);
        text + &part[end..]
    })
}

/// A process of its own turns into the command: first it makes the terminal its controlling one, so that Ctrl-C on it
/// sends a signal.
#[test]
#[ignore = "`Session` runs it in a process of its own"]
fn become_the_command() {
    let Ok(arguments) = env::var(ARGUMENTS) else { return };
    setsid().unwrap();
    let terminal = File::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    ioctl_tiocsctty(&terminal).unwrap();
    let mut command = command();
    command.args(arguments.lines()).env_remove(ARGUMENTS);
    let error = command.stdout(terminal.try_clone().unwrap()).stderr(terminal).exec();
    panic!("{error}");
}

#[test]
fn escape_codes_and_overwritten_text_are_not_shown() {
    assert_eq!(lines("\x1b[2Kbar 1\r\x1b[2K\x1b[31mred\x1b[0m text\r\nnext\r\n"), ["red text", "next", ""]);
}
