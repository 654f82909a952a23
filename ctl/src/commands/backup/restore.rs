//! `ctl backup restore`.

use clap::Args;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rackhaven_proto::model::backup::ArchiveName;
use rackhaven_proto::model::{JobName, NodeName};
use rackhaven_proto::v1::BackupRestore;
use rackhaven_proto::v1::backup_action::Action;

use super::start::{Asked, carry_out};
use crate::confirm::{Confirmation, place};
use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;

/// Options of `ctl backup restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Of which job
    #[arg(value_name = "JOB")]
    job: JobName,
    /// What to bring back, as absolute paths; none for everything
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// The node that files are brought back to
    #[arg(long, value_name = "NAME")]
    node: NodeName,
    /// Into which folder of the node, as an absolute path
    #[arg(long, value_name = "FOLDER")]
    to: String,
    /// From this archive, in place of the newest
    #[arg(long, value_name = "ARCHIVE", conflicts_with = "at")]
    archive: Option<ArchiveName>,
    /// As it was at this moment: 2026-11-22T02:15, or with its zone 2026-11-22T02:15:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// What another node has saved, where both have the job
    #[arg(long, value_name = "NAME")]
    of_node: Option<NodeName>,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// The folder may be the root of the running system: what is there is written over
    #[arg(long)]
    in_place: bool,
    /// Show how it is getting on until it has ended; exit with 1 if it did not go well
    #[arg(long)]
    follow: bool,
}

/// Brings files back; over a running system only after a confirmation.
pub(super) async fn run(args: RestoreArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    if let Some(path) = args.paths.iter().chain([&args.to]).find(|path| !path.starts_with('/')) {
        return Err(CtlError::usage(format!("{path:?} does not begin with /: paths are those of the node")));
    }
    let zone = invocation.environment.zone.clone();
    let before_unix_ms = args.at.as_deref().map(|text| moment(text, zone)).transpose()?;
    if args.in_place && !args.dry_run {
        let confirmation = Confirmation::possible(invocation)?;
        let connection = invocation.connect().await?;
        let what = if args.paths.is_empty() { "everything".to_owned() } else { args.paths.join(", ") };
        let harm = format!(
            "Will write over {} of node {} while it runs: {what}, from its backup {}.",
            args.to, args.node, args.job
        );
        confirmation.ask(invocation, &harm, &place(&connection).await?)?;
    }
    let restore = BackupRestore {
        archive: args.archive.map_or_else(String::new, String::from),
        before_unix_ms,
        paths: args.paths,
        to: args.to,
        dry_run: args.dry_run,
        in_place: args.in_place,
        of_node: args.of_node.map_or_else(String::new, String::from),
    };
    let asked = Asked::new(vec![args.node.to_string()], vec![args.job.to_string()], Action::Restore(restore));
    carry_out(asked.followed(args.follow || args.dry_run), invocation).await
}

/// A moment as people write it, in their zone unless it names one; milliseconds since 1970-01-01 UTC.
fn moment(text: &str, zone: Option<TimeZone>) -> Result<i64, CtlError> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    let local = text.parse::<DateTime>().ok().and_then(|local| {
        let zone = zone.unwrap_or_else(TimeZone::system);
        local.to_zoned(zone).ok()
    });
    let refuse = || CtlError::usage(format!("{text:?} is no moment such as 2026-11-22T02:15"));
    local.map(|zoned| zoned.timestamp().as_millisecond()).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use jiff::tz::{Offset, TimeZone};

    use super::moment;

    #[test]
    fn moments_are_local_unless_they_say_otherwise() {
        let zone = || Some(TimeZone::fixed(Offset::constant(2)));
        for (text, ms) in [
            ("2026-11-22T02:15:00Z", 1_795_313_700_000),
            ("2026-11-22T02:15", 1_795_306_500_000),
            ("2026-11-22 02:15:00", 1_795_306_500_000),
            ("2026-11-22", 1_795_298_400_000),
        ] {
            assert_eq!(moment(text, zone()).unwrap(), ms, "{text}");
        }
        for bad in ["", "yesterday", "02:15", "2026-13-01"] {
            assert!(moment(bad, zone()).is_err(), "{bad:?} was taken");
        }
    }
}
