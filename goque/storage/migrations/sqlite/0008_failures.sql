-- A failed attempt names its group: failures of one type with the same cause, exception class and line of code. A row of
-- goque_failure_group sums up a group, a row of goque_failure_hour counts its failures in one hour (of those since 1970).
ALTER TABLE goque_attempt ADD COLUMN failure_group TEXT;
ALTER TABLE goque_attempt ADD COLUMN app_version TEXT;

CREATE INDEX goque_attempt_group_idx ON goque_attempt (failure_group, id) WHERE failure_group IS NOT NULL;

CREATE TABLE goque_failure_group (
    failure_group   TEXT    NOT NULL PRIMARY KEY,
    type            TEXT    NOT NULL,
    cause           TEXT    NOT NULL,
    error_class     TEXT    NOT NULL,
    line            TEXT    NOT NULL,
    error           TEXT    NOT NULL,
    failures        INTEGER NOT NULL,
    first_at        TEXT    NOT NULL,
    last_at         TEXT    NOT NULL,
    example_task_id TEXT    NOT NULL,
    first_version   TEXT,
    last_version    TEXT
) WITHOUT ROWID;

CREATE TABLE goque_failure_hour (
    failure_group TEXT    NOT NULL,
    hour          INTEGER NOT NULL,
    failures      INTEGER NOT NULL,
    PRIMARY KEY (failure_group, hour)
) WITHOUT ROWID;
