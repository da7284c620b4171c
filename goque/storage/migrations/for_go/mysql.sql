-- What the Go library's migration 20251029020834 makes beside the table, and its entry in goose's ledger.
-- MySQL has no CREATE INDEX IF NOT EXISTS: in a script, leave out an index that the table has.
CREATE INDEX goque_task_type_status_next_attempt_at_idx ON goque_task (type, status, next_attempt_at);

CREATE INDEX goque_task_type_status_updated_at_idx ON goque_task (type, status, updated_at);

CREATE TABLE IF NOT EXISTS goose_db_version (
    id         SERIAL    PRIMARY KEY,
    version_id BIGINT    NOT NULL,
    is_applied BOOLEAN   NOT NULL,
    tstamp     TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE = InnoDB;

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 0, TRUE FROM DUAL
WHERE NOT EXISTS (SELECT 1 FROM goose_db_version);

INSERT INTO goose_db_version (version_id, is_applied)
SELECT 20251029020834, TRUE FROM DUAL
WHERE NOT coalesce(
    (SELECT is_applied FROM goose_db_version WHERE version_id = 20251029020834 ORDER BY id DESC LIMIT 1), FALSE);
