-- The table as the original makes it; a table that it made is taken over, with its data and indexes.
CREATE TABLE IF NOT EXISTS goque_task (
    id              UUID        PRIMARY KEY,
    type            TEXT        NOT NULL,
    external_id     TEXT        NOT NULL,
    payload         JSONB       NOT NULL,
    status          TEXT        NOT NULL,
    attempts        INT         NOT NULL,
    errors          TEXT,
    metadata        JSONB,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at      TIMESTAMPTZ,
    next_attempt_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX IF NOT EXISTS goque_task_type_external_id_idx ON goque_task (type, external_id);
