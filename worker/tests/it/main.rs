//! The worker against a peer that speaks the protocol as its contract says.

#![expect(clippy::unwrap_used, reason = "a test panics where it fails")]

mod death;
mod letters;
mod local;
mod moving;
mod operators;
mod peer;
mod requests;
mod resume;
mod secrets;
mod tls;
mod tries;
