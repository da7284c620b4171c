-- A failed attempt names its group: failures of one type with the same cause, exception class and line of code. A row of
-- goque_failure_group sums up a group, a row of goque_failure_hour counts its failures in one hour (of those since 1970).
ALTER TABLE goque_attempt
    ADD COLUMN failure_group TEXT COLLATE "C",
    ADD COLUMN app_version   TEXT;

CREATE INDEX goque_attempt_group_idx ON goque_attempt (failure_group, id)
    WHERE failure_group IS NOT NULL;

CREATE TABLE goque_failure_group (
    failure_group   TEXT COLLATE "C" PRIMARY KEY,
    type            TEXT        NOT NULL,
    cause           TEXT        NOT NULL,
    error_class     TEXT        NOT NULL,
    line            TEXT        NOT NULL,
    error           TEXT        NOT NULL,
    failures        BIGINT      NOT NULL,
    first_at        TIMESTAMPTZ NOT NULL,
    last_at         TIMESTAMPTZ NOT NULL,
    example_task_id UUID        NOT NULL,
    first_version   TEXT,
    last_version    TEXT
);

CREATE TABLE goque_failure_hour (
    failure_group TEXT COLLATE "C" NOT NULL,
    hour          BIGINT           NOT NULL,
    failures      BIGINT           NOT NULL,
    PRIMARY KEY (failure_group, hour)
);
