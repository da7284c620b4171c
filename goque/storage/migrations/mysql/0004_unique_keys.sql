-- A task may keep out a second one with the same key. The first letter of the column says how long it holds the key:
-- w until its first claim, a until its end, t for its window of time. held_key follows from the row, as an index with
-- a condition does elsewhere, so that no claim, settlement or other program has to give a key back.
ALTER TABLE goque_task
    ADD COLUMN unique_key VARCHAR(300) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */,
    ADD COLUMN held_key VARCHAR(299) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ GENERATED ALWAYS AS (
        CASE
            WHEN LEFT(unique_key, 1) = 'w' AND (status NOT IN ('new', 'blocked') OR claims <> 0) THEN NULL
            WHEN LEFT(unique_key, 1) = 'a' AND status IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL THEN NULL
            ELSE SUBSTR(unique_key, 2) END) STORED,
    ADD UNIQUE INDEX goque_task_unique_idx (type, held_key);
