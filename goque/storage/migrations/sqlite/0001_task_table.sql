-- The table as the original makes it; a table that it made is taken over, with its data and indexes.
CREATE TABLE IF NOT EXISTS goque_task (
    id              TEXT    PRIMARY KEY,
    type            TEXT    NOT NULL,
    external_id     TEXT    NOT NULL,
    payload         TEXT    NOT NULL,
    status          TEXT    NOT NULL,
    attempts        INTEGER NOT NULL,
    errors          TEXT,
    metadata        TEXT,
    created_at      TEXT    NOT NULL DEFAULT (datetime('now')),
    updated_at      TEXT,
    next_attempt_at TEXT    NOT NULL DEFAULT (datetime('now'))
);

CREATE UNIQUE INDEX IF NOT EXISTS goque_task_type_external_id_idx ON goque_task (type, external_id);
