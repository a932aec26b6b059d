//! Plots as SVG, for a light and for a dark page: which of both is the reader's choice, as their system has it.
//!
//! [`drawing`] is the paper, [`scale`] says where a value lies on it; [`curves`] and [`waterfall`] are what is drawn.

mod curves;
mod drawing;
mod scale;
mod waterfall;

pub use curves::{Axis, Curve, Curves, cumulative};
pub use waterfall::{Phase, Row, waterfall};
