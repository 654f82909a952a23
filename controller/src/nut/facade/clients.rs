use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;

/// Most clients that are remembered after they have gone.
const GONE_KEPT: usize = 64;

/// A client that is or was logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacadeClient {
    /// As whom.
    pub user: String,
    /// From where.
    pub address: IpAddr,
    /// The stage with which it goes down.
    pub stage: Option<String>,
    /// Whether it is still there.
    pub state: ClientState,
    /// Whether it has read that it is to shut down. `upsmon` goes without a good-bye then.
    pub told: bool,
    /// Since when, milliseconds since the controller started.
    pub since_ms: u64,
}

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientState {
    /// Logged in.
    LoggedIn,
    /// It said good-bye.
    LoggedOut,
    /// Its connection broke, which says nothing about the machine.
    Dropped,
}

/// Who is and was logged in.
pub(super) struct Clients {
    clock: Arc<Clock>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    clients: Vec<(u64, FacadeClient)>,
}

impl Clients {
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        Self { clock, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<FacadeClient> {
        self.lock().clients.iter().map(|(_, client)| client.clone()).collect()
    }

    /// The addresses of those that are logged in.
    pub(super) fn logged_in(&self) -> Vec<IpAddr> {
        let inner = self.lock();
        let here = inner.clients.iter().filter(|(_, client)| client.state == ClientState::LoggedIn);
        here.map(|(_, client)| client.address).collect()
    }

    /// Takes up a login, in the place of one that has gone; returns its number.
    pub(super) fn enter(&self, user: &str, address: IpAddr, stage: Option<&str>) -> u64 {
        let since_ms = self.clock.monotonic_ms();
        let mut inner = self.lock();
        inner.clients.retain(|(_, client)| {
            client.state == ClientState::LoggedIn || client.user != user || client.address != address
        });
        inner.last += 1;
        let number = inner.last;
        let stage = stage.map(str::to_owned);
        let client =
            FacadeClient { user: user.to_owned(), address, stage, state: ClientState::LoggedIn, told: false, since_ms };
        inner.clients.push((number, client));
        number
    }

    /// A client has read, or reads no more, that it is to shut down.
    pub(super) fn tell(&self, number: u64, told: bool) {
        if let Some((_, client)) = self.lock().clients.iter_mut().find(|(own, _)| *own == number) {
            client.told = told;
        }
    }

    /// A login has ended, so or so.
    pub(super) fn leave(&self, number: u64, state: ClientState) {
        let since_ms = self.clock.monotonic_ms();
        let mut inner = self.lock();
        if let Some(at) = inner.clients.iter().position(|(own, _)| *own == number) {
            let (_, mut client) = inner.clients.remove(at);
            (client.state, client.since_ms) = (state, since_ms);
            // Behind those that went before.
            inner.clients.push((number, client));
        }
        let gone = |(_, client): &(u64, FacadeClient)| client.state != ClientState::LoggedIn;
        if inner.clients.iter().filter(|client| gone(client)).count() > GONE_KEPT
            && let Some(oldest) = inner.clients.iter().position(gone)
        {
            inner.clients.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_went_are_remembered_within_bounds() {
        let clients = Clients::new(Arc::new(Clock::start()));
        let address = |number: usize| IpAddr::from([10, 0, 0, u8::try_from(number).unwrap()]);
        let staying = clients.enter("nas", address(250), Some("storage"));
        for number in 0..2 * GONE_KEPT {
            let left = clients.enter("monuser", address(number), None);
            clients.leave(left, ClientState::Dropped);
        }
        let all = clients.all();
        assert_eq!(all.len(), GONE_KEPT + 1);
        assert_eq!((all[0].user.as_str(), all[0].state), ("nas", ClientState::LoggedIn));
        assert_eq!(all[1].address, address(GONE_KEPT));
        assert_eq!(clients.logged_in(), [address(250)]);

        clients.leave(staying, ClientState::LoggedOut);
        clients.enter("nas", address(250), Some("storage"));
        let nas: Vec<ClientState> =
            clients.all().iter().filter(|client| client.user == "nas").map(|client| client.state).collect();
        assert_eq!(nas, [ClientState::LoggedIn]);
    }
}
