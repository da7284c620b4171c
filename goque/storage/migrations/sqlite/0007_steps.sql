-- A row is a recorded step of a task (kind 'step'), a sleep ('sleep'), a wait for a signal ('wait'), a signal ('signal') or
-- the progress of its run ('progress'). goque_task.flags has 16 where a task may have rows; all other tasks pay nothing.
-- `claims` is the claim of the run that wrote the row, `until` the end of a sleep or the deadline of a wait.
CREATE TABLE goque_step (
    task_id  TEXT    NOT NULL,
    kind     TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    value    TEXT,
    claims   INTEGER NOT NULL DEFAULT 0,
    duration REAL,
    until    TEXT,
    made_at  TEXT    NOT NULL,
    PRIMARY KEY (task_id, kind, name)
) WITHOUT ROWID;
