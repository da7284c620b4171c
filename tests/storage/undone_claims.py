"""Triggers that undo the claim of each task whose external id begins with `stuck`."""

from __future__ import annotations

from backends import Backend

IS_STUCK = "OLD.external_id LIKE 'stuck%' AND NEW.status = 'pending'"
FUNCTION = "CREATE FUNCTION skip_claim() RETURNS trigger AS 'BEGIN RETURN NULL; END' LANGUAGE plpgsql"
TRIGGER = "CREATE TRIGGER skip_claims BEFORE UPDATE ON goque_task"
UNDO = """
    SET NEW.status = OLD.status, NEW.claimed_by = OLD.claimed_by, NEW.claims = OLD.claims,
        NEW.updated_at = OLD.updated_at"""
TRIGGERS = {
    "sqlite": [f"{TRIGGER} WHEN {IS_STUCK} BEGIN SELECT RAISE(IGNORE); END"],
    "postgresql": [FUNCTION, f"{TRIGGER} FOR EACH ROW WHEN ({IS_STUCK}) EXECUTE FUNCTION skip_claim()"],
    "mysql": [f"{TRIGGER} FOR EACH ROW IF {IS_STUCK} THEN {UNDO}; END IF"],
}


def undo_claims(backend: Backend) -> None:
    for statement in TRIGGERS[backend.name]:
        backend.execute(statement)
