//! `ctl user list`.

use rackhaven_proto::Invalid;
use rackhaven_proto::model::Role;
use rackhaven_proto::v1::{ListUsersRequest, User};
use serde::Serialize;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report, as_word};
use crate::style::Style;
use crate::table::{Cell, Column, Table};
use crate::text::Text;
use crate::times::{rfc3339, rfc3339_given};

/// What `ctl user list` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct UserListReport {
    users: Vec<UserReport>,
}

/// One user.
#[derive(Debug, Serialize)]
struct UserReport {
    name: Text,
    #[serde(serialize_with = "as_word")]
    role: Role,
    state: &'static str,
    created: Option<String>,
    revoked: Option<String>,
    certificate_expires: Option<String>,
}

/// Shows the users.
pub(crate) async fn run(invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let response = connection.answer(connection.access().list_users(ListUsersRequest {})).await?;
    let users = response.users.into_iter().map(UserReport::new).collect::<Result<_, _>>();
    invocation.show(&UserListReport { users: users.map_err(|invalid| CtlError::strange_answer(&invalid))? })?;
    Ok(ExitStatus::Fine)
}

impl UserReport {
    fn new(user: User) -> Result<Self, Invalid> {
        Ok(Self {
            name: Text::new(&user.name),
            role: Role::try_from(user.role())?,
            state: match (user.revoked_unix_ms, user.certificate_ends_unix_ms) {
                (Some(_), _) => "revoked",
                (None, None) => "invited",
                (None, Some(_)) => "active",
            },
            created: rfc3339_given(user.created_unix_ms),
            revoked: user.revoked_unix_ms.and_then(rfc3339),
            certificate_expires: user.certificate_ends_unix_ms.and_then(rfc3339),
        })
    }
}

impl Report for UserListReport {
    fn render(&self, page: &Page) -> String {
        let mut table = Table::new(vec![
            Column::left("NAME").shrinks_to(16),
            Column::left("ROLE"),
            Column::left("STATE"),
            Column::left("CREATED").importance(1),
            Column::left("CERT").importance(2),
        ]);
        let date = |moment: &Option<String>| Cell::optional(moment.as_ref().map(|moment| page.zone.date(moment)));
        for user in &self.users {
            let style = if user.state == "revoked" { Style::Dim } else { Style::Plain };
            table.row(vec![
                Cell::styled(user.name.as_str(), style),
                Cell::styled(user.role.as_str(), style),
                Cell::styled(user.state, style),
                date(&user.created),
                date(&user.certificate_expires),
            ]);
        }
        table.lines(page.columns, page.colour).join("\n") + "\n"
    }
}
