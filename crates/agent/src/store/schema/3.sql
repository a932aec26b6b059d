-- Networks that tasks share.
CREATE TABLE networks (
    name TEXT PRIMARY KEY,
    record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
