-- A task may keep out a second one with the same key. The first letter of the column says how long it holds the key:
-- w until its first claim, a until its end, t for its window of time. What the index contains follows from the row, so
-- that no claim, settlement or other program has to give a key back.
ALTER TABLE goque_task ADD COLUMN unique_key TEXT;
CREATE UNIQUE INDEX goque_task_unique_idx ON goque_task (type, substr(unique_key, 2))
    WHERE unique_key IS NOT NULL AND CASE substr(unique_key, 1, 1)
        WHEN 'w' THEN status IN ('new', 'blocked') AND claims = 0
        WHEN 'a' THEN status NOT IN ('done', 'canceled', 'attempts_left') OR claimed_by IS NOT NULL
        ELSE 1 END;
