//! Schedules on real PostgreSQL, with a clock that the tests move: all of it lies in the year 2095, so
//! that the engines' own loops, which ask the database for the time, find nothing due.

mod overlap;
mod world;
mod year;
