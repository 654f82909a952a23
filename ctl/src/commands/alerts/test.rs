//! `ctl alerts test`.

use clap::Args;
use rackhaven_proto::v1::{ChannelTest, TestAlertsRequest};
use serde::Serialize;

use crate::error::CtlError;
use crate::exit::ExitStatus;
use crate::invocation::Invocation;
use crate::output::{Page, Report};
use crate::style::Style;
use crate::text::Text;

/// Options of `ctl alerts test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Only these channels [default: all]
    #[arg(value_name = "CHANNEL")]
    channels: Vec<String>,
}

/// What `ctl alerts test` tells; `docs/ctl.md` promises this shape.
#[derive(Debug, Serialize)]
struct TestReport {
    tests: Vec<TestedChannel>,
}

/// What became of one test.
#[derive(Debug, Serialize)]
struct TestedChannel {
    channel: Text,
    ok: bool,
    failure: Option<Text>,
    took_seconds: f64,
}

/// Sends a test.
pub(super) async fn run(args: TestArgs, invocation: &mut Invocation) -> Result<ExitStatus, CtlError> {
    let connection = invocation.connect().await?;
    let request = TestAlertsRequest { channels: args.channels };
    let response = connection.answer(connection.alerts().test(request)).await?;
    let report = TestReport { tests: response.tests.iter().map(TestedChannel::new).collect() };
    let fine = report.tests.iter().all(|test| test.ok);
    invocation.show(&report)?;
    Ok(if fine { ExitStatus::Fine } else { ExitStatus::Failed })
}

impl TestedChannel {
    fn new(test: &ChannelTest) -> Self {
        Self {
            channel: Text::new(&test.channel),
            ok: test.failure.is_empty(),
            failure: Text::given(&test.failure),
            took_seconds: test.took_ms as f64 / 1000.0,
        }
    }
}

impl Report for TestReport {
    fn render(&self, page: &Page) -> String {
        if self.tests.is_empty() {
            return page.fit("There is nothing to test: controller.toml has no [[alerts.channel]].") + "\n";
        }
        let line = |test: &TestedChannel| {
            let (style, words) = match &test.failure {
                None => (Style::Good, format!("{}: taken in {:.1} s", test.channel, test.took_seconds)),
                Some(failure) => (Style::Bad, format!("{}: {failure}", test.channel)),
            };
            style.paint(&page.fit(&words), page.colour) + "\n"
        };
        self.tests.iter().map(line).collect()
    }
}
