-- A failed attempt names its group: failures of one type with the same cause, exception class and line of code. A row of
-- goque_failure_group sums up a group, a row of goque_failure_hour counts its failures in one hour (of those since 1970).
ALTER TABLE goque_attempt
    ADD COLUMN failure_group VARCHAR(32)  CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NULL,
    ADD COLUMN app_version   VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NULL,
    ADD INDEX goque_attempt_group_idx (failure_group, id);

CREATE TABLE IF NOT EXISTS goque_failure_group (
    failure_group   VARCHAR(32)  CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ PRIMARY KEY,
    type            VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    cause           VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    error_class     VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    line            TEXT         CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    error           TEXT         CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    failures        BIGINT       NOT NULL,
    first_at        TIMESTAMP(6) NULL,
    last_at         TIMESTAMP(6) NULL,
    example_task_id CHAR(36)     CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    first_version   VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NULL,
    last_version    VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS goque_failure_hour (
    failure_group VARCHAR(32) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    hour          BIGINT      NOT NULL,
    failures      BIGINT      NOT NULL,
    PRIMARY KEY (failure_group, hour)
) ENGINE = InnoDB CHARACTER SET utf8mb4;
