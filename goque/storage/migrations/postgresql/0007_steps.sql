-- A row is a recorded step of a task (kind 'step'), a sleep ('sleep'), a wait for a signal ('wait'), a signal ('signal') or
-- the progress of its run ('progress'). goque_task.flags has 16 where a task may have rows; all other tasks pay nothing.
-- `claims` is the claim of the run that wrote the row, `until` the end of a sleep or the deadline of a wait.
CREATE TABLE goque_step (
    task_id  UUID             NOT NULL,
    kind     TEXT COLLATE "C" NOT NULL,
    name     TEXT COLLATE "C" NOT NULL,
    value    TEXT,
    claims   INT              NOT NULL DEFAULT 0,
    duration DOUBLE PRECISION,
    until    TIMESTAMPTZ,
    made_at  TIMESTAMPTZ      NOT NULL,
    PRIMARY KEY (task_id, kind, name)
);
