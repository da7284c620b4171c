-- A task of a type with limits has a key: the empty text if nobody gave it one. What holds a place is the claim, so the
-- rows themselves are counted, and goque_limit has nothing that could leak: the row of a type has the key whose turn was
-- last, and how far the starts of a type or a key are by its rate.
ALTER TABLE goque_task ADD COLUMN limit_key TEXT;
CREATE INDEX goque_task_limit_idx ON goque_task (type, limit_key, priority DESC, next_attempt_at)
    WHERE status IN ('new', 'error') AND claimed_by IS NULL AND limit_key IS NOT NULL;
CREATE INDEX goque_task_held_idx ON goque_task (type, limit_key)
    WHERE claimed_by IS NOT NULL AND limit_key IS NOT NULL;

ALTER TABLE goque_type ADD COLUMN limits TEXT;
ALTER TABLE goque_type ADD COLUMN limits_set TEXT;

CREATE TABLE goque_limit (
    type       TEXT NOT NULL,
    limit_key  TEXT NOT NULL,
    last_key   TEXT,
    arrival    REAL,
    not_before REAL,
    PRIMARY KEY (type, limit_key)
);
