//! Stories of a whole fleet: the real programs, over loopback.

#![allow(clippy::unwrap_used, reason = "a story's helpers fail as the story does")]

mod audit;
mod backup_far;
mod backup_trees;
mod clocks;
mod commands;
mod commands_lost;
mod configuration;
mod documents;
mod enrolment;
mod floods;
mod full_disk;
mod fuzz_replay;
mod history;
mod impostors;
mod nut;
mod nut_cut;
mod nut_facade;
mod nut_facade_clients;
mod nut_hostile;
mod nut_tls;
mod outages;
mod power_faults;
mod power_instants;
mod power_kills;
mod power_people;
mod power_served;
mod power_silence;
mod power_simulation;
mod power_triggers;
mod properties;
mod refused_identities;
mod refused_invitations;
mod refused_messages;
mod renewal;
mod sessions;
mod shutdown_agent;
mod shutdown_agent_board;
mod shutdown_agent_properties;
mod shutdown_agent_restarts;
mod state_agent;
mod state_controller;
mod users;
mod waiting;
mod witnesses;
