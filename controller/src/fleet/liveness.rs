use rackhaven_proto::model::NodeState;

/// From how many milliseconds of silence on a node counts as suspect or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Silence after which a node is suspect, milliseconds.
    pub suspect_ms: u64,
    /// Silence after which a node is down, milliseconds.
    pub down_ms: u64,
    /// How long after the controller's start a node may take to come back before it counts as down, milliseconds.
    pub grace_ms: u64,
}

impl Thresholds {
    /// Longest wait between two attempts of an agent to connect, milliseconds.
    const LONGEST_BACK_OFF_MS: u64 = 15_000;

    /// From the heartbeat's interval and the numbers of missed ones.
    pub fn new(heartbeat_ms: u32, suspect_after_missed: u32, down_after_missed: u32) -> Self {
        let after = |missed: u32| u64::from(heartbeat_ms) * u64::from(missed);
        Self {
            suspect_ms: after(suspect_after_missed),
            down_ms: after(down_after_missed),
            grace_ms: after(down_after_missed) + Self::LONGEST_BACK_OFF_MS,
        }
    }
}

/// Whether a node is there, from when it was heard. Pure; times are the controller's monotonic milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    state: NodeState,
    since_ms: u64,
    heard_ms: Option<u64>,
    going_off: bool,
}

impl Liveness {
    /// A node that has just enrolled, or, after a start of the controller, was in state `before`.
    pub fn new(before: NodeState, now_ms: u64) -> Self {
        let state = if before == NodeState::Off { NodeState::Off } else { NodeState::Unknown };
        Self { state, since_ms: now_ms, heard_ms: None, going_off: false }
    }

    /// The state it is in.
    pub fn state(&self) -> NodeState {
        self.state
    }

    /// Since when it is in it.
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// When it was last heard in this run of the controller.
    pub fn heard_ms(&self) -> Option<u64> {
        self.heard_ms
    }

    /// It was heard. A node that said it goes off, and opens a new session, has changed its mind or come back.
    pub fn heard(&mut self, now_ms: u64, new_session: bool) {
        self.heard_ms = Some(now_ms);
        if new_session {
            self.going_off = false;
        }
        if self.state != NodeState::Off || new_session {
            self.change(NodeState::Up, now_ms);
        }
    }

    /// It has said that it goes off: its silence is then no failure.
    pub fn goes_off(&mut self) {
        self.going_off = true;
    }

    /// Its session has ended. One that goes off is off now; of any other nothing is known but its silence.
    pub fn session_ended(&mut self, now_ms: u64) {
        if self.going_off {
            self.change(NodeState::Off, now_ms);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64, thresholds: &Thresholds) {
        let silence_ms = now_ms.saturating_sub(self.heard_ms.unwrap_or(self.since_ms));
        let silent = if self.going_off { NodeState::Off } else { NodeState::Down };
        match self.state {
            NodeState::Unknown if silence_ms >= thresholds.grace_ms => self.change(silent, now_ms),
            NodeState::Up | NodeState::Suspect if silence_ms >= thresholds.down_ms => self.change(silent, now_ms),
            NodeState::Up if silence_ms >= thresholds.suspect_ms => self.change(NodeState::Suspect, now_ms),
            _ => {}
        }
    }

    fn change(&mut self, state: NodeState, now_ms: u64) {
        if self.state != state {
            self.state = state;
            self.since_ms = now_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Liveness, NodeState, Thresholds};

    const THRESHOLDS: Thresholds = Thresholds { suspect_ms: 6000, down_ms: 10_000, grace_ms: 25_000 };

    #[test]
    fn thresholds_follow_the_heartbeat() {
        assert_eq!(Thresholds::new(2000, 3, 5), THRESHOLDS);
    }

    /// Every state against every input, written out.
    #[test]
    fn golden_transitions() {
        use NodeState::{Down, Off, Suspect, Unknown, Up};
        let at = |state: NodeState, going_off| Liveness { state, since_ms: 0, heard_ms: Some(0), going_off };
        // state, going off -> heard, new session, session ended, 5999, 6000, 9999, 10000, 25000 ms of silence
        let table = [
            (Unknown, false, [Up, Up, Unknown, Unknown, Unknown, Unknown, Unknown, Down]),
            (Unknown, true, [Up, Up, Off, Unknown, Unknown, Unknown, Unknown, Off]),
            (Up, false, [Up, Up, Up, Up, Suspect, Suspect, Down, Down]),
            (Up, true, [Up, Up, Off, Up, Suspect, Suspect, Off, Off]),
            (Suspect, false, [Up, Up, Suspect, Suspect, Suspect, Suspect, Down, Down]),
            (Suspect, true, [Up, Up, Off, Suspect, Suspect, Suspect, Off, Off]),
            (Down, false, [Up, Up, Down, Down, Down, Down, Down, Down]),
            (Off, true, [Off, Up, Off, Off, Off, Off, Off, Off]),
            (Off, false, [Off, Up, Off, Off, Off, Off, Off, Off]),
        ];
        for (state, going_off, expected) in table {
            let after = |step: fn(&mut Liveness)| {
                let mut liveness = at(state, going_off);
                step(&mut liveness);
                liveness.state()
            };
            let found = [
                after(|l| l.heard(1, false)),
                after(|l| l.heard(1, true)),
                after(|l| l.session_ended(1)),
                after(|l| l.tick(5999, &THRESHOLDS)),
                after(|l| l.tick(6000, &THRESHOLDS)),
                after(|l| l.tick(9999, &THRESHOLDS)),
                after(|l| l.tick(10_000, &THRESHOLDS)),
                after(|l| l.tick(25_000, &THRESHOLDS)),
            ];
            assert_eq!(found, expected, "{state} (going off: {going_off})");
        }
    }

    #[test]
    fn a_node_that_comes_back_is_no_longer_going_off() {
        let mut liveness = Liveness::new(NodeState::Up, 0);
        liveness.heard(10, true);
        liveness.goes_off();
        liveness.heard(20, true);
        liveness.session_ended(30);
        assert_eq!(liveness.state(), NodeState::Up);
        liveness.tick(10_030, &THRESHOLDS);
        assert_eq!((liveness.state(), liveness.since_ms()), (NodeState::Down, 10_030));
    }

    #[test]
    fn the_state_before_a_restart_is_not_believed_but_for_off() {
        assert_eq!(Liveness::new(NodeState::Up, 0).state(), NodeState::Unknown);
        assert_eq!(Liveness::new(NodeState::Down, 0).state(), NodeState::Unknown);
        assert_eq!(Liveness::new(NodeState::Off, 0).state(), NodeState::Off);
    }
}
