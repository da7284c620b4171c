-- What goque adds to the table: order, results, and the fence around each claim.
ALTER TABLE goque_task ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE goque_task ADD COLUMN result TEXT;
ALTER TABLE goque_task ADD COLUMN claimed_by TEXT;
ALTER TABLE goque_task ADD COLUMN claims INTEGER NOT NULL DEFAULT 0;
ALTER TABLE goque_task ADD COLUMN lost_claims INTEGER NOT NULL DEFAULT 0;

-- Each task enters and leaves these partial indexes as it lives, so a move touches two of them and not five.
CREATE INDEX goque_task_claim_idx ON goque_task (type, priority DESC, next_attempt_at)
    WHERE status IN ('new', 'error') AND claimed_by IS NULL;
CREATE INDEX goque_task_owner_idx ON goque_task (claimed_by)
    WHERE claimed_by IS NOT NULL;
CREATE INDEX goque_task_finished_idx ON goque_task (type, status, coalesce(updated_at, created_at))
    WHERE status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL;
CREATE INDEX goque_task_unowned_idx ON goque_task (coalesce(updated_at, created_at))
    WHERE status IN ('pending', 'processing') AND claimed_by IS NULL;

CREATE TABLE goque_attempt (
    id         INTEGER PRIMARY KEY,
    task_id    TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    cause      TEXT    NOT NULL,
    error      TEXT    NOT NULL,
    traceback  TEXT,
    node       TEXT,
    worker_pid INTEGER,
    started_at TEXT,
    ended_at   TEXT    NOT NULL,
    duration   REAL,
    exit_code  INTEGER,
    signal     INTEGER,
    max_rss    INTEGER,
    oom        TEXT,
    stack      TEXT,
    stderr     TEXT
);
CREATE INDEX goque_attempt_task_id_idx ON goque_attempt (task_id);

CREATE TABLE goque_node (
    id           TEXT    PRIMARY KEY,
    seq          INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    host         TEXT    NOT NULL,
    pid          INTEGER NOT NULL,
    started_at   TEXT    NOT NULL,
    heartbeat_at TEXT    NOT NULL,
    info         TEXT
);

CREATE TABLE goque_type (
    type                TEXT    PRIMARY KEY,
    max_attempts        INTEGER NOT NULL,
    strategy            TEXT,
    max_crashes         INTEGER,
    cleaner_age         REAL    NOT NULL,
    cleaner_keep_failed REAL    NOT NULL,
    healer_age          REAL    NOT NULL,
    paused              INTEGER NOT NULL DEFAULT 0,
    updated_at          TEXT    NOT NULL
);

CREATE TABLE goque_schedule (
    job_name   TEXT PRIMARY KEY,
    last_slot  TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
