//! Makes another token for servers. K3s stores it; our file must follow, or the server would not start any more.

use std::time::Duration;

use anyhow::{Context, bail};
use rackhaven_proto::model::k3s::{K3sRole, K3sSecret};

use crate::child::{command, run};
use crate::files;
use crate::news::Done;
use crate::order::Work;
use crate::paths::{PROGRAM, SERVER_TOKEN, TOKEN};
use crate::record::Record;
use crate::units;

/// How long K3s may take.
const TIME: Duration = Duration::from_secs(120);

/// What of a token stands behind the authority.
fn password(token: &str) -> &str {
    token.trim().rsplit(':').next().unwrap_or_default()
}

/// Our file with another password: what stands before it stays.
fn with_password(file: &str, new: &str) -> String {
    let file = file.trim();
    let before = file.len() - password(file).len();
    format!("{}{}\n", &file[..before], password(new))
}

/// Carries it out.
///
/// # Errors
/// When a step fails, or this is no server of ours.
pub(crate) fn rotate(work: &mut Work, old: &K3sSecret, new: &K3sSecret) -> anyhow::Result<()> {
    work.step("token", |work| {
        if Record::load(work.root)?.is_none_or(|record| record.role != K3sRole::Server.as_str()) {
            bail!("there is no server of Rackhaven's here");
        }
        let stored = work.root.read(SERVER_TOKEN)?.with_context(|| format!("there is no {SERVER_TOKEN}"))?;
        if password(&String::from_utf8_lossy(&stored)) == password(new.reveal()) {
            return Ok(Done::Unchanged("K3s has it already".to_owned()));
        }
        let mut k3s = command(work.root.at(PROGRAM));
        // Everybody may read arguments.
        k3s.args(["token", "rotate"]).env("K3S_TOKEN", old.reveal()).env("K3S_NEW_TOKEN", new.reveal());
        run(k3s, b"", TIME, work.stop)?.fine("k3s token rotate")?;
        Ok(Done::Changed("K3s has taken it".to_owned()))
    })?;
    work.step("configuration", |work| {
        let file = work.root.read(TOKEN)?.with_context(|| format!("there is no {TOKEN}"))?;
        let file = String::from_utf8(file).ok().with_context(|| format!("{TOKEN} is no text"))?;
        let wanted = with_password(&file, new.reveal());
        if file == wanted {
            return Ok(Done::Unchanged(String::new()));
        }
        files::replace(&work.root.at(TOKEN), wanted.as_bytes(), 0o600)?;
        Ok(Done::Changed(TOKEN.to_owned()))
    })?;
    // It goes on with the old one until it is started anew; which is due, says the next installation, too.
    work.step("start", |work| {
        units::start(K3sRole::Server.unit(), true, work.stop)?;
        Ok(Done::Changed(format!("{} restarted with it", K3sRole::Server.unit())))
    })?;
    work.step("ready", |work| crate::install::ready(work, K3sRole::Server))
}

#[cfg(test)]
mod tests {
    use super::with_password;

    #[test]
    fn golden() {
        assert_eq!(with_password("old\n", "new"), "new\n");
        assert_eq!(with_password("K10ab::server:old\n", "new"), "K10ab::server:new\n");
        assert_eq!(with_password("K10ab::server:old\n", "K10ab::server:new"), "K10ab::server:new\n");
    }
}
