-- What goque adds to the table: order, results, and the fence around each claim.
-- A result is JSON and not JSONB, so that it stays as it was encoded.
ALTER TABLE goque_task
    ADD COLUMN priority    SMALLINT NOT NULL DEFAULT 0,
    ADD COLUMN result      JSON,
    ADD COLUMN claimed_by  TEXT,
    ADD COLUMN claims      INT      NOT NULL DEFAULT 0,
    ADD COLUMN lost_claims INT      NOT NULL DEFAULT 0;

-- Each task leaves two dead rows behind, and dead entries at the head of the claim's index are what slows a claim
-- down: clean up after some thousand moves, however large the table of finished tasks has grown, and without pauses.
ALTER TABLE goque_task SET (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_analyze_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- Each task enters and leaves these partial indexes as it lives, so a move touches two of them and not five.
CREATE INDEX goque_task_claim_idx ON goque_task (type, priority DESC, next_attempt_at)
    WHERE status IN ('new', 'error') AND claimed_by IS NULL;
CREATE INDEX goque_task_owner_idx ON goque_task (claimed_by)
    WHERE claimed_by IS NOT NULL;
CREATE INDEX goque_task_finished_idx ON goque_task (type, status, (coalesce(updated_at, created_at)))
    WHERE status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL;
CREATE INDEX goque_task_unowned_idx ON goque_task ((coalesce(updated_at, created_at)))
    WHERE status IN ('pending', 'processing') AND claimed_by IS NULL;

CREATE TABLE goque_attempt (
    id         BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id    UUID        NOT NULL,
    attempt    INT         NOT NULL,
    cause      TEXT        NOT NULL,
    error      TEXT        NOT NULL,
    traceback  TEXT,
    node       TEXT,
    worker_pid INT,
    started_at TIMESTAMPTZ,
    ended_at   TIMESTAMPTZ NOT NULL,
    duration   DOUBLE PRECISION,
    exit_code  INT,
    signal     INT,
    max_rss    BIGINT,
    oom        TEXT,
    stack      TEXT,
    stderr     TEXT
);
CREATE INDEX goque_attempt_task_id_idx ON goque_attempt (task_id);

CREATE TABLE goque_node (
    id           TEXT        PRIMARY KEY,
    seq          BIGINT      NOT NULL,
    state        TEXT        NOT NULL,
    host         TEXT        NOT NULL,
    pid          INT         NOT NULL,
    started_at   TIMESTAMPTZ NOT NULL,
    heartbeat_at TIMESTAMPTZ NOT NULL,
    info         TEXT
);

CREATE TABLE goque_type (
    type                TEXT        PRIMARY KEY,
    max_attempts        INT         NOT NULL,
    strategy            TEXT,
    max_crashes         INT,
    cleaner_age         DOUBLE PRECISION NOT NULL,
    cleaner_keep_failed DOUBLE PRECISION NOT NULL,
    healer_age          DOUBLE PRECISION NOT NULL,
    paused              SMALLINT    NOT NULL DEFAULT 0,
    updated_at          TIMESTAMPTZ NOT NULL
);

CREATE TABLE goque_schedule (
    job_name   TEXT        PRIMARY KEY,
    last_slot  TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
