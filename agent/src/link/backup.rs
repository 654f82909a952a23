//! What the controller and this node's backups say to one another.

use rackhaven_proto::Invalid;
use rackhaven_proto::model::Supply;
use rackhaven_proto::v1::agent_message::Body as ToController;
use rackhaven_proto::v1::controller_message::Body as FromController;

use super::Node;
use crate::backup::{FromBackups, ToBackups};
use crate::shutdown::Event;

/// What backups are told, by a message of the controller.
pub(super) fn order(body: FromController) -> Result<ToBackups, Invalid> {
    match body {
        FromController::GivenBackupJobs(set) => Ok(ToBackups::Given(set)),
        FromController::BackupOrder(wire) => wire.try_into().map(ToBackups::Order),
        FromController::BackupStop(wire) => wire.run_id.parse().map(ToBackups::End),
        FromController::BackupReportStored(wire) => wire.run_id.parse().map(ToBackups::Stored),
        _ => Ok(ToBackups::Reload),
    }
}

/// What of the power concerns backups: none runs while the battery is needed for the way down.
pub(super) fn concerns(event: &Event) -> Option<ToBackups> {
    match event {
        Event::Notice(notice) => Some(match notice.supply {
            Supply::Mains => ToBackups::Battery(false),
            Supply::Battery => ToBackups::Battery(true),
            Supply::Unknown => return None,
        }),
        Event::Abort(_) => Some(ToBackups::Stays),
        _ => None,
    }
}

impl Node {
    /// Tells this node's backups.
    pub(super) async fn backups(&mut self, told: ToBackups) {
        // They are gone only when the agent ends.
        let _ = self.parts.backups.send(told).await;
    }

    /// Takes what this node's backups tell; what of it is for the controller.
    pub(super) fn news_of_backups(&mut self, news: FromBackups) -> Option<ToController> {
        match news {
            FromBackups::Tell(body) => Some(*body),
            FromBackups::Note { kind, severity, message } => {
                self.note(kind, severity, &message);
                None
            }
        }
    }
}
