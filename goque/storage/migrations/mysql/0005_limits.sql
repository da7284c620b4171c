-- A task of a type with limits has a key: the empty text if nobody gave it one. What holds a place is the claim, so the
-- rows themselves are counted, and goque_limit has nothing that could leak: the row of a type is what its claims lock,
-- with the key whose turn was last, and how far the starts of a type or a key are by its rate.
-- waiting_key is the key while the task may be claimed: an index on it is what a partial index is elsewhere.
ALTER TABLE goque_task
    ADD COLUMN limit_key VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */,
    ADD COLUMN waiting_key VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ GENERATED ALWAYS AS (
        CASE WHEN status IN ('new', 'error') AND claimed_by IS NULL THEN limit_key END) STORED,
    ADD INDEX goque_task_limit_idx (type, waiting_key, claim_rank, next_attempt_at);

ALTER TABLE goque_type
    ADD COLUMN limits     TEXT CHARACTER SET utf8mb4,
    ADD COLUMN limits_set TEXT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS goque_limit (
    type       VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    limit_key  VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    last_key   VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */,
    arrival    DOUBLE,
    not_before DOUBLE,
    PRIMARY KEY (type, limit_key)
) ENGINE = InnoDB CHARACTER SET utf8mb4;
