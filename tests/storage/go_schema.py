"""The tables as the Go library makes them, with a row as it writes one."""

from __future__ import annotations

ID = "019ab5a0-7c3e-7d5e-8f00-0123456789ab"

_INDEXES = """
    CREATE UNIQUE INDEX goque_task_type_external_id_idx ON goque_task (type, external_id);
    CREATE INDEX goque_task_type_status_next_attempt_at_idx ON goque_task (type, status, next_attempt_at ASC);
    CREATE INDEX goque_task_type_status_updated_at_idx ON goque_task (type, status, updated_at ASC);
"""

OWN_TABLES = (
    "goque_migration",
    "goque_attempt",
    "goque_node",
    "goque_type",
    "goque_schedule",
    "goque_limit",
    "goque_need",
    "goque_flow",
    "goque_flow_task",
    "goque_step",
    "goque_failure_group",
    "goque_failure_hour",
    "goque_stack",
    "goque_rollup",
)
"""What goque adds to the one table of the original."""

ORIGINAL = {
    "sqlite": f"""
    CREATE TABLE goque_task (
        id TEXT PRIMARY KEY, type TEXT NOT NULL, external_id TEXT NOT NULL, payload TEXT NOT NULL,
        status TEXT NOT NULL, attempts INTEGER NOT NULL, errors TEXT, metadata TEXT,
        created_at TEXT NOT NULL DEFAULT (datetime('now')), updated_at TEXT,
        next_attempt_at TEXT NOT NULL DEFAULT (datetime('now')));
    {_INDEXES}
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at)
    VALUES ('{ID}', 'mail', 'order-7', '{{}}', 'new', 0, '{{}}',
            '2026-11-23T21:02:33Z', '2026-11-23T21:02:33Z')""",
    "postgresql": f"""
    CREATE TABLE goque_task (
        id UUID PRIMARY KEY, type TEXT NOT NULL, external_id TEXT NOT NULL, payload JSONB NOT NULL,
        status TEXT NOT NULL, attempts INT NOT NULL, errors TEXT, metadata JSONB,
        created_at TIMESTAMPTZ NOT NULL DEFAULT now(), updated_at TIMESTAMPTZ,
        next_attempt_at TIMESTAMPTZ NOT NULL DEFAULT now());
    {_INDEXES}
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at)
    VALUES ('{ID}', 'mail', 'order-7', '{{}}', 'new', 0, '{{}}',
            '2026-11-23 21:02:33.012345+00', '2026-11-23 21:02:33.012345+00')""",
    "mysql": f"""
    CREATE TABLE goque_task (
        id CHAR(36) PRIMARY KEY, type VARCHAR(255) NOT NULL, external_id VARCHAR(255) NOT NULL,
        payload JSON NOT NULL, status VARCHAR(50) NOT NULL, attempts INT NOT NULL, errors TEXT, metadata JSON,
        created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, updated_at TIMESTAMP NULL,
        next_attempt_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
    {_INDEXES}
    INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at,
                            next_attempt_at)
    VALUES ('{ID}', 'mail', 'order-7', '{{}}', 'new', 0, '{{}}',
            '2026-11-23 21:02:33', '2026-11-23 21:02:33')""",
}
