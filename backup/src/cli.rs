//! The engine's command line.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

/// The command line as data: for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Saves a node's files and gives them back.
#[derive(Debug, Parser)]
#[command(name = "rackhaven-backup", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command is given.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The job's file
    #[arg(long, value_name = "FILE")]
    pub job: PathBuf,
    /// The job's name, if not that of its file
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The node's name, if not that of the host
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Keeps what makes increments fast, and which repository a job has; if not given, where the agent has it kept
    #[arg(long, value_name = "DIR", default_value = "/var/lib/rackhaven/agent/backup")]
    pub state_dir: PathBuf,
    /// Where the programs are that jobs name as hooks
    #[arg(long, value_name = "DIR", default_value = "/etc/rackhaven/backup-hooks.d")]
    pub hooks_dir: PathBuf,
    /// Progress is written here, as JSON
    #[arg(long, value_name = "FILE")]
    pub status: Option<PathBuf>,
    /// What became of it is written here, as JSON
    #[arg(long, value_name = "FILE")]
    pub result: Option<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Output,
    /// The age identity that opens encrypted archives
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people.
    Text,
    /// One JSON document.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Saves what the job names
    Run {
        /// What every command is given.
        #[command(flatten)]
        common: Common,
        /// Save everything, not only what changed
        #[arg(long)]
        full: bool,
    },
    /// Lists the job's archives
    List {
        /// What every command is given.
        #[command(flatten)]
        common: Common,
    },
    /// Reads an archive back and checks it
    Verify {
        /// What every command is given.
        #[command(flatten)]
        common: Common,
        /// Which; the newest if none is named
        archive: Option<String>,
        /// How much of the data is read, percent
        #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
        sample: u8,
    },
    /// Gives files back
    Restore {
        /// What every command is given.
        #[command(flatten)]
        common: Common,
        /// Which archive, the newest if none is named, and absolute paths as they were on the node to restore only those, with all below them
        #[arg(value_name = "ARCHIVE|PATH")]
        what: Vec<PathBuf>,
        /// The newest archive that is not younger than this time, such as 2026-11-22T02:15:00Z
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// The folder to put the files in
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Only say what would be written
        #[arg(long)]
        dry_run: bool,
        /// Allow the running system's root as the target
        #[arg(long)]
        in_place: bool,
    },
    /// Tells of the jobs of this node, and of when each is to run next
    Jobs {
        /// A folder of jobs; may be given several times, the first counts most
        #[arg(long = "dir", value_name = "DIR", default_value = "/etc/rackhaven/backup.d")]
        folders: Vec<PathBuf>,
        /// When each was last begun by its schedule, as JSON: {"JOB": {"save": UNIX_MS, "verify": UNIX_MS}}
        #[arg(long, value_name = "JSON", default_value = "{}")]
        last: String,
        /// They are written here, as JSON, and not printed
        #[arg(long, value_name = "FILE")]
        result: Option<PathBuf>,
    },
    /// Removes archives that the job does not keep
    Prune {
        /// What every command is given.
        #[command(flatten)]
        common: Common,
        /// Only say which
        #[arg(long)]
        dry_run: bool,
    },
}
