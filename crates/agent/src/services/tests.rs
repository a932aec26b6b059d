//! Single decisions of the planner.
