//! A terminal with a shell in it, as a person has it: tmux, on a socket of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use crate::process::{Daemon, command, run_to_end};
use crate::wait::{wait_for, wait_until};

/// What the shell asks with.
const PROMPT: &str = "ready> ";

/// One window with a shell. Ends when dropped, with all that runs in it.
#[derive(Debug)]
pub struct Terminal {
    socket: PathBuf,
    said: AtomicUsize,
    // The server's window dies with it.
    _server: Daemon,
}

impl Terminal {
    /// Opens one of so many columns and rows; the shell has these variables.
    ///
    /// # Errors
    /// When tmux cannot be started.
    pub async fn open(
        folder: &Path,
        (columns, rows): (u16, u16),
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let socket = folder.join("tmux");
        let mut server = command("tmux");
        server.env_remove("TMUX").env("LC_ALL", "C.UTF-8").args(["-D", "-u", "-f", "/dev/null", "-S"]).arg(&socket);
        let server = Daemon::start("tmux-server", server, folder)?;
        wait_until("tmux to listen", async || socket.exists()).await?;
        let terminal = Self { socket, said: AtomicUsize::new(0), _server: server };
        let size = [columns.to_string(), rows.to_string()];
        let mut open = terminal.command();
        open.args(["new-session", "-d", "-x", &size[0], "-y", &size[1]]);
        open.args(["env", "-u", "TMUX", "LC_ALL=C.UTF-8", &format!("PS1={PROMPT}")]);
        open.args(environment.iter().map(|(name, value)| format!("{name}={value}")));
        open.args(["bash", "--noprofile", "--norc", "-i"]);
        terminal.done(open).await?;
        terminal.wait_for_prompt().await?;
        Ok(terminal)
    }

    fn command(&self) -> Command {
        let mut tmux = command("tmux");
        tmux.env_remove("TMUX").env("LC_ALL", "C.UTF-8").arg("-u").arg("-S").arg(&self.socket);
        tmux
    }

    async fn done(&self, command: Command) -> anyhow::Result<String> {
        let told = format!("{command:?}");
        let outcome = run_to_end(command).await?;
        ensure!(outcome.code == Some(0), "{told}: {outcome:?}");
        Ok(outcome.out)
    }

    /// Presses keys, by tmux's names.
    ///
    /// # Errors
    /// When the window is gone.
    pub async fn press(&self, keys: &[&str]) -> anyhow::Result<()> {
        let mut send = self.command();
        send.arg("send-keys").args(keys);
        self.done(send).await.map(drop)
    }

    /// Types a line, with Enter at its end.
    ///
    /// # Errors
    /// When the window is gone.
    pub async fn enter(&self, line: &str) -> anyhow::Result<()> {
        let mut send = self.command();
        send.args(["send-keys", "-l", "--", line]);
        self.done(send).await?;
        self.press(&["Enter"]).await
    }

    /// Pastes this text, as with a mouse.
    ///
    /// # Errors
    /// When the window is gone.
    pub async fn paste(&self, text: &str) -> anyhow::Result<()> {
        let file = self.socket.with_extension("paste");
        std::fs::write(&file, text).context("writing what is to be pasted")?;
        let mut load = self.command();
        load.arg("load-buffer").arg(&file);
        self.done(load).await?;
        let mut paste = self.command();
        // -p: as a bracketed paste, if that is asked for.
        paste.args(["paste-buffer", "-p"]);
        self.done(paste).await.map(drop)
    }

    /// Makes the window larger or smaller, and waits until what runs in it can know.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn resize(&self, size: (u16, u16)) -> anyhow::Result<()> {
        self.pull(size).await?;
        let mut ask = self.command();
        ask.args(["display-message", "-p", "#{pane_tty}"]);
        let device = self.done(ask).await?;
        let wanted = format!("{} {}", size.1, size.0);
        // tmux hands it on after a moment.
        wait_until("the terminal to have its new size", async || {
            let mut stty = command("stty");
            stty.args(["-F", device.trim(), "size"]);
            self.done(stty).await.is_ok_and(|told| told.trim() == wanted)
        })
        .await
    }

    /// The same without waiting: the next may come before it is known.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn pull(&self, (columns, rows): (u16, u16)) -> anyhow::Result<()> {
        let mut resize = self.command();
        resize.args(["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
        self.done(resize).await.map(drop)
    }

    /// Runs this line in place of the shell: when it ends, the window does.
    ///
    /// # Errors
    /// When the window is gone.
    pub async fn exec(&self, line: &str) -> anyhow::Result<()> {
        let mut respawn = self.command();
        respawn.args(["respawn-pane", "-k", "env", "-u", "TMUX", "LC_ALL=C.UTF-8"]);
        respawn.args(line.split(' '));
        self.done(respawn).await.map(drop)
    }

    /// Closes it: whatever runs in it is hung up on.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn close(&self) -> anyhow::Result<()> {
        let mut kill = self.command();
        // The server stays, for its end would be another story.
        kill.args(["kill-session"]);
        self.done(kill).await.map(drop)
    }

    /// What it shows.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn screen(&self) -> anyhow::Result<String> {
        let mut capture = self.command();
        capture.args(["capture-pane", "-p"]);
        self.done(capture).await
    }

    /// The same with colours.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn painted(&self) -> anyhow::Result<String> {
        let mut capture = self.command();
        capture.args(["capture-pane", "-p", "-e"]);
        self.done(capture).await
    }

    /// Whether the alternate screen is shown, and whether there is a cursor.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn modes(&self) -> anyhow::Result<(bool, bool)> {
        let mut ask = self.command();
        ask.args(["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        let told = self.done(ask).await?;
        let (alternate, cursor) = told.trim().split_once(' ').context("reading the modes")?;
        Ok((alternate == "1", cursor == "1"))
    }

    /// Waits until it shows all of this.
    ///
    /// # Errors
    /// When it does not; tells what it shows.
    pub async fn wait_for(&self, texts: &[&str]) -> anyhow::Result<String> {
        let mut last = String::new();
        let what = format!("the screen to show {texts:?}");
        let found = wait_for(&what, async || {
            last = self.screen().await?;
            Ok(texts.iter().all(|text| last.contains(text)).then(|| last.clone()))
        });
        found.await.with_context(|| format!("it shows\n{last}"))
    }

    /// Waits until the shell asks for a command on a screen that is as it should be: its own, with a cursor.
    ///
    /// # Errors
    /// When it does not; tells what it shows.
    pub async fn wait_for_prompt(&self) -> anyhow::Result<String> {
        let mut last = (String::new(), (false, false));
        let found = wait_for("a prompt", async || {
            last = (self.screen().await?, self.modes().await?);
            let asks = last.0.trim_end().lines().last().is_some_and(|line| line.trim_end() == PROMPT.trim_end());
            Ok((asks && last.1 == (false, true)).then(|| last.0.clone()))
        });
        found.await.with_context(|| format!("alternate screen and cursor are {:?}; it shows\n{}", last.1, last.0))
    }

    /// What one command of the shell prints.
    ///
    /// # Errors
    /// When it does not come to its end.
    pub async fn say(&self, line: &str) -> anyhow::Result<String> {
        let mark = format!("end-{}", self.said.fetch_add(1, Ordering::Relaxed));
        // The mark is put together by the shell: the line as it is typed does not hold it.
        self.enter(&format!("clear; {line}; echo en''{}", &mark[2..])).await?;
        let what = format!("the end of {line}");
        let screen = wait_for(&what, async || {
            let screen = self.screen().await?;
            Ok(screen.lines().any(|line| line.trim_end() == mark).then_some(screen))
        });
        let screen = screen.await?;
        let lines = screen.lines().skip_while(|line| line.contains(PROMPT.trim_end()));
        let lines: Vec<_> = lines.take_while(|line| line.trim_end() != mark).collect();
        Ok(lines.join("\n"))
    }
}

/// The processes whose command line has this in it, oldest first.
///
/// # Errors
/// When /proc cannot be read.
pub fn processes_with(argument: &str) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").context("reading /proc")? {
        let Ok(pid) = entry.context("reading /proc")?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // It may end meanwhile; a zombie has no command line.
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()) {
            found.push(pid);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Sends a signal to a process that is no child of the story.
///
/// # Errors
/// When there is none.
pub fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
    nix::sys::signal::kill(pid, signal).with_context(|| format!("sending {signal} to {pid}"))
}
