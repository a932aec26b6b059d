//! A client of the API.
