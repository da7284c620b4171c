-- A flow is tasks of which some need others. goque_need has a row for each need of a task: while `state` is 0 the need is
-- open, 1 is met, 2 is failed. `wants` says which end of the need will do: 'done', or 'ended' however it ends.
-- goque_task.flags says what a claim or an end of a task must look for; NULL for most tasks, which pay nothing.
ALTER TABLE goque_task ADD COLUMN flags INTEGER;

CREATE TABLE goque_need (
    task_id  TEXT    NOT NULL,
    position INTEGER NOT NULL,
    needs_id TEXT    NOT NULL,
    wants    TEXT    NOT NULL,
    state    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (task_id, position)
) WITHOUT ROWID;
CREATE INDEX goque_need_needs_idx ON goque_need (needs_id);
CREATE INDEX goque_need_open_idx ON goque_need (needs_id) WHERE state = 0;
CREATE INDEX goque_need_unmet_idx ON goque_need (task_id) WHERE state <> 1;

CREATE INDEX goque_task_blocked_idx ON goque_task (type, status)
    WHERE status = 'blocked';

CREATE TABLE goque_flow (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE goque_flow_task (
    flow_id  TEXT    NOT NULL,
    position INTEGER NOT NULL,
    task_id  TEXT    NOT NULL,
    PRIMARY KEY (flow_id, position)
) WITHOUT ROWID;
CREATE UNIQUE INDEX goque_flow_task_idx ON goque_flow_task (task_id);
