//! `rackhaven-pages`: writes the manual pages and completions that ship, from the command lines of the programs.
//!
//! It runs where packages are built and is not shipped. What it writes into the folder it is given lies there as it is
//! installed below `/usr/share`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// Where each shell looks for the completions of a program, and what it wants before and after its name.
const SHELLS: [(Shell, &str, &str, &str); 3] = [
    (Shell::Bash, "bash-completion/completions", "", ""),
    (Shell::Zsh, "zsh/vendor-completions", "_", ""),
    (Shell::Fish, "fish/vendor_completions.d", "", ".fish"),
];

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: rackhaven-pages FOLDER");
        return ExitCode::from(2);
    };
    match write_all(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rackhaven-pages: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Everything, for each program: daemons have their pages in section 8, what users call in section 1.
fn write_all(folder: &Path) -> anyhow::Result<()> {
    let programs = [
        (rackhaven_agent::cli::command(), "8"),
        (rackhaven_backup::cli::command(), "8"),
        (rackhaven_controller::cli::command(), "8"),
        (rackhaven_k3s::cli::command(), "8"),
        (rackhaven_ctl::command(), "1"),
    ];
    for (command, section) in programs {
        let name = command.get_name().to_owned();
        for (shell, below, before, after) in SHELLS {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command.clone(), &name, &mut script);
            write(&folder.join(below), &format!("{before}{name}{after}"), &script)?;
        }
        // Otherwise there would be a page for `help` and each command below it, too.
        let mut command = command.disable_help_subcommand(true);
        command.build();
        write_pages(&command, section, &folder.join("man").join(format!("man{section}")))?;
    }
    Ok(())
}

/// The page of a command, and those of its own commands.
fn write_pages(command: &Command, section: &str, folder: &Path) -> anyhow::Result<()> {
    let source = format!("Rackhaven {}", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command.clone()).section(section).source(source).manual("Rackhaven");
    let mut text = Vec::new();
    page.render(&mut text).context("rendering a page")?;
    write(folder, &page.get_filename(), &text)?;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_pages(below, section, folder)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(name);
    fs::write(&path, content).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::write_all;

    #[test]
    fn each_program_has_its_pages_and_completions() {
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path()).unwrap();
        for (file, says) in [
            ("man/man8/rackhaven-agent.8", "rackhaven\\-agent\\-join(8)"),
            ("man/man8/rackhaven-agent-join.8", "\\-\\-token\\-file"),
            ("man/man8/rackhaven-backup-restore.8", "\\-\\-in\\-place"),
            ("man/man8/rackhaven-controller-init.8", "\\-\\-cluster\\-name"),
            ("man/man1/ctl.1", "RACKHAVEN_CONTEXT"),
            ("man/man1/ctl-node-invite.1", "\\-\\-uses"),
            ("bash-completion/completions/rackhaven-agent", "check-config"),
            ("zsh/vendor-completions/_rackhaven-controller", "#compdef rackhaven-controller"),
            ("fish/vendor_completions.d/ctl.fish", "complete -c ctl"),
        ] {
            let text = fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(text.contains(says), "{file} does not say {says}:\n{text}");
        }
    }

    #[test]
    fn no_page_is_about_help() {
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path()).unwrap();
        let pages = fs::read_dir(folder.path().join("man/man1")).unwrap();
        let helps = pages.filter(|page| page.as_ref().unwrap().file_name().to_string_lossy().contains("help"));
        assert_eq!(helps.count(), 0);
    }
}
