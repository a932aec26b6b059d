-- Times are milliseconds since the Unix epoch; records are JSON. Columns beside a record repeat what is searched for.

CREATE TABLE migrations (
    version INTEGER PRIMARY KEY,
    applied_ms INTEGER NOT NULL
) STRICT;

-- Single facts: the host's boot id.
CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE clusters (
    name TEXT PRIMARY KEY,
    is_active INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A revision's number is never used again, whatever becomes of the definition.
CREATE TABLE families (
    family TEXT PRIMARY KEY,
    last_revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE definitions (
    family TEXT NOT NULL REFERENCES families (family),
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (family, revision)
) STRICT;

-- `number` counts up: lists go on behind one.
CREATE TABLE tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    cluster TEXT NOT NULL,
    family TEXT NOT NULL,
    service TEXT,
    started_by TEXT,
    is_wanted INTEGER NOT NULL,
    is_stopped INTEGER NOT NULL,
    is_running INTEGER NOT NULL,
    stopped_ms INTEGER,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX tasks_by_cluster ON tasks (cluster, is_wanted, number);
CREATE INDEX tasks_by_family ON tasks (cluster, family, is_wanted, number);
CREATE INDEX tasks_by_service ON tasks (cluster, service, is_wanted, number) WHERE service IS NOT NULL;
CREATE INDEX tasks_by_starter ON tasks (cluster, started_by, is_wanted, number) WHERE started_by IS NOT NULL;
CREATE INDEX tasks_unfinished ON tasks (cluster, is_running) WHERE is_stopped = 0;
CREATE INDEX tasks_stopped ON tasks (stopped_ms, number) WHERE is_stopped = 1;

CREATE TABLE services (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster TEXT NOT NULL,
    name TEXT NOT NULL,
    is_active INTEGER NOT NULL,
    record TEXT NOT NULL,
    UNIQUE (cluster, name)
) STRICT;

CREATE TABLE deployments (
    id TEXT PRIMARY KEY,
    cluster TEXT NOT NULL,
    service TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deployments_by_service ON deployments (cluster, service, created_ms, id);

-- The same token with the same request means the same resources.
CREATE TABLE client_tokens (
    operation TEXT NOT NULL,
    token TEXT NOT NULL,
    digest TEXT NOT NULL,
    resources TEXT NOT NULL,
    is_complete INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (operation, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX client_tokens_by_time ON client_tokens (created_ms);

-- `resource` is the last part of an ARN.
CREATE TABLE tags (
    resource TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (resource, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE account_settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- `sealed` is encrypted and authenticated with the key in a file of its own.
CREATE TABLE access_keys (
    id TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    description TEXT,
    sealed BLOB NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
