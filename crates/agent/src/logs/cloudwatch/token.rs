//! Where an answer ended, as clients send it back.

use api::logs::error::LogsError;

use crate::logs::reader::Position;

/// Where the events of a stream are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From here on.
    Forward(Position),
    /// The last ones before this.
    Backward(Position),
}

impl Direction {
    /// As a client gets it.
    pub fn token(self) -> String {
        let (letter, Position { file, offset, line }) = match self {
            Self::Forward(position) => ('f', position),
            Self::Backward(position) => ('b', position),
        };
        format!("{letter}/{file:020}/{offset:020}/{line:010}")
    }

    /// What a client sent.
    pub fn parse(token: &str) -> Result<Self, LogsError> {
        let position = |fields: &str| {
            let mut fields = fields.splitn(3, '/');
            Some(Position {
                file: fields.next()?.parse().ok()?,
                offset: fields.next()?.parse().ok()?,
                line: fields.next()?.parse().ok()?,
            })
        };
        let parsed = match token.split_at_checked(2) {
            Some(("f/", fields)) => position(fields).map(Self::Forward),
            Some(("b/", fields)) => position(fields).map(Self::Backward),
            _ => None,
        };
        parsed.ok_or_else(invalid)
    }
}

/// The token is not one of ours.
pub fn invalid() -> LogsError {
    LogsError::invalid("The specified nextToken is invalid.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_and_others_are_refused() {
        let position = Position {
            file: 3,
            offset: 17,
            line: u32::MAX,
        };
        for direction in [Direction::Forward(position), Direction::Backward(Position::END)] {
            assert_eq!(Direction::parse(&direction.token()), Ok(direction));
        }
        for token in ["", "f/", "x/1/2/3", "f/1/2", "f/1/2/3/4", "b/1/2/99999999999", "é"] {
            Direction::parse(token).unwrap_err();
        }
    }
}
