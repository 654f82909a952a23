use std::sync::Arc;
use std::time::Duration;

use super::{Connection, CutAbility, UpsConfig, UpsError};
use crate::reach::Host;

/// How long the whole conversation may take.
const CUT: Duration = Duration::from_secs(5);

/// Tells one UPS to cut, over a connection of its own: one that reads may just be waiting for an answer.
#[derive(Debug, Clone)]
pub struct UpsHandle {
    config: Arc<UpsConfig>,
}

/// A cut that the UPS has taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutDone {
    /// What was sent, in order.
    pub commands: &'static [&'static str],
    /// From now to the cut, seconds; absent where the UPS does not tell.
    pub delay_s: Option<u32>,
}

impl UpsHandle {
    /// For the UPS of `config`.
    pub fn new(config: Arc<UpsConfig>) -> Self {
        Self { config }
    }

    /// Tells the UPS to cut the load after `delay_s`, and to bring it back when mains is there. A UPS whose delay
    /// cannot be set does so if its own is at least as long; with no `delay_s` it does so in any case, by its own.
    ///
    /// # Errors
    /// [`UpsError`] with what the admin can do; after 5 s at the latest. What had been sent may then still take
    /// effect.
    pub async fn cut(&self, delay_s: Option<u32>) -> Result<CutDone, UpsError> {
        let talk = self.talk(delay_s);
        tokio::time::timeout(CUT, talk)
            .await
            .unwrap_or(Err(UpsError::Late { asked: "the cut", seconds: CUT.as_secs_f32() }))
    }

    async fn talk(&self, wanted_s: Option<u32>) -> Result<CutDone, UpsError> {
        let address = &self.config.address;
        let mut host = Host::new(address.host(), address.port());
        // A login would count us twice.
        let mut connection = Connection::open(&self.config, &mut host, false).await?;
        let (commands, settable) = (connection.commands().await?, connection.settable().await?);
        let vars = connection.vars().await?;
        let ability = CutAbility::find(&vars, &commands, &settable).ok_or(UpsError::NoCut)?;
        let mut delay_s = ability.delay_s;
        if let Some(wanted_s) = wanted_s.filter(|wanted_s| delay_s != Some(*wanted_s)) {
            let set = if ability.delay_settable {
                connection.set(CutAbility::DELAY, &wanted_s.to_string()).await.map_err(|error| format!(": {error}"))
            } else {
                Err(String::new())
            };
            match set {
                Ok(()) => delay_s = Some(wanted_s),
                Err(_) if delay_s.is_some_and(|delay_s| delay_s >= wanted_s) => {}
                Err(why) => return Err(UpsError::CutTooSoon { delay_s, wanted_s, why }),
            }
        }
        for command in ability.commands() {
            connection.command(command).await?;
        }
        connection.close().await;
        Ok(CutDone { commands: ability.commands(), delay_s })
    }
}
