-- A row asks the node `owner` for the Python stack of a task that it runs; the node writes the answer, a JSON text.
-- Whoever asked deletes the row; the next one who asks deletes what is left of others.
CREATE TABLE goque_stack (
    id       UUID        NOT NULL PRIMARY KEY,
    task_id  UUID        NOT NULL,
    owner    TEXT        NOT NULL,
    asked_at TIMESTAMPTZ NOT NULL,
    answer   TEXT
);
