-- What goque adds to the table, in one statement, so that it is there as a whole or not at all.
-- Names are compared byte for byte, trailing spaces included: the comments with a number are code, the first for
-- MariaDB and the second for MySQL, which have different names for that collation.
-- claim_rank is set while a task may be claimed, the highest priority first: an index on it is what a partial
-- index is elsewhere.
ALTER TABLE goque_task
    MODIFY id CHAR(36) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    MODIFY type VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    MODIFY external_id VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    MODIFY status VARCHAR(50) CHARACTER SET utf8mb4 NOT NULL,
    MODIFY errors TEXT CHARACTER SET utf8mb4,
    MODIFY created_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    MODIFY updated_at TIMESTAMP(6) NULL,
    MODIFY next_attempt_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    ADD COLUMN priority SMALLINT NOT NULL DEFAULT 0,
    ADD COLUMN result JSON,
    ADD COLUMN claimed_by VARCHAR(64) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */,
    ADD COLUMN claims INT NOT NULL DEFAULT 0,
    ADD COLUMN lost_claims INT NOT NULL DEFAULT 0,
    ADD COLUMN claim_rank SMALLINT GENERATED ALWAYS AS (
        CASE WHEN status IN ('new', 'error') AND claimed_by IS NULL THEN -priority END) STORED,
    ADD INDEX goque_task_claim_idx (type, claim_rank, next_attempt_at),
    ADD INDEX goque_task_state_idx (claimed_by, status, type, updated_at);

CREATE TABLE IF NOT EXISTS goque_attempt (
    id         BIGINT       AUTO_INCREMENT PRIMARY KEY,
    task_id    CHAR(36)     CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    attempt    INT          NOT NULL,
    cause      VARCHAR(255) NOT NULL,
    error      MEDIUMTEXT   NOT NULL,
    traceback  MEDIUMTEXT,
    node       VARCHAR(64),
    worker_pid INT,
    started_at TIMESTAMP(6) NULL,
    ended_at   TIMESTAMP(6) NULL,
    duration   DOUBLE,
    exit_code  INT,
    `signal`   INT,
    max_rss    BIGINT,
    oom        TEXT,
    stack      MEDIUMTEXT,
    stderr     MEDIUMTEXT,
    INDEX goque_attempt_task_id_idx (task_id)
) ENGINE = InnoDB CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS goque_node (
    id           VARCHAR(64)  CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ PRIMARY KEY,
    seq          BIGINT       NOT NULL,
    state        VARCHAR(16)  NOT NULL,
    host         VARCHAR(255) NOT NULL,
    pid          INT          NOT NULL,
    started_at   TIMESTAMP(6) NULL,
    heartbeat_at TIMESTAMP(6) NULL,
    info         TEXT
) ENGINE = InnoDB CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS goque_type (
    type                VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ PRIMARY KEY,
    max_attempts        INT          NOT NULL,
    strategy            TEXT,
    max_crashes         INT,
    cleaner_age         DOUBLE       NOT NULL,
    cleaner_keep_failed DOUBLE       NOT NULL,
    healer_age          DOUBLE       NOT NULL,
    paused              SMALLINT     NOT NULL DEFAULT 0,
    updated_at          TIMESTAMP(6) NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS goque_schedule (
    job_name   VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ PRIMARY KEY,
    last_slot  TIMESTAMP(6) NULL,
    updated_at TIMESTAMP(6) NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4;
