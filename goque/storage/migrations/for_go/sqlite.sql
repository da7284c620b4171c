-- What the Go library's migration 20251029020834 makes beside the table, and its entry in goose's ledger.
CREATE INDEX IF NOT EXISTS goque_task_type_status_next_attempt_at_idx ON goque_task (type, status, next_attempt_at);

CREATE INDEX IF NOT EXISTS goque_task_type_status_updated_at_idx ON goque_task (type, status, updated_at);

CREATE TABLE IF NOT EXISTS goose_db_version (
    id         INTEGER   PRIMARY KEY AUTOINCREMENT,
    version_id INTEGER   NOT NULL,
    is_applied INTEGER   NOT NULL,
    tstamp     TIMESTAMP DEFAULT (datetime('now'))
);

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 0, 1
WHERE NOT EXISTS (SELECT 1 FROM goose_db_version);

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 20251029020834, 1
WHERE coalesce(
    (SELECT is_applied FROM goose_db_version WHERE version_id = 20251029020834 ORDER BY id DESC LIMIT 1), 0) = 0;
