-- What tasks have used: a row for each whose guest has answered. It outlives the task's record. One without `ended_ms` runs, or its host agent
-- died since it was `noted_ms`.
CREATE TABLE usage (
    task TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    cluster TEXT NOT NULL,
    family TEXT NOT NULL,
    service TEXT,
    tags TEXT NOT NULL,
    vcpu_milli INTEGER NOT NULL,
    memory_mib INTEGER NOT NULL,
    scratch_mib INTEGER NOT NULL,
    begun_ms INTEGER NOT NULL,
    noted_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    cpu_us INTEGER NOT NULL,
    received_bytes INTEGER NOT NULL,
    sent_bytes INTEGER NOT NULL,
    read_bytes INTEGER NOT NULL,
    written_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_by_note ON usage (noted_ms);
