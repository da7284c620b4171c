-- A row is a recorded step of a task (kind 'step'), a sleep ('sleep'), a wait for a signal ('wait'), a signal ('signal') or
-- the progress of its run ('progress'). goque_task.flags has 16 where a task may have rows; all other tasks pay nothing.
-- `claims` is the claim of the run that wrote the row, `until` the end of a sleep or the deadline of a wait.
CREATE TABLE IF NOT EXISTS goque_step (
    task_id  CHAR(36)     CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    kind     VARCHAR(16)  CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    name     VARCHAR(200) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    value    LONGTEXT     CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NULL,
    claims   INT          NOT NULL DEFAULT 0,
    duration DOUBLE       NULL,
    until    TIMESTAMP(6) NULL,
    made_at  TIMESTAMP(6) NULL,
    PRIMARY KEY (task_id, kind, name)
) ENGINE = InnoDB CHARACTER SET utf8mb4;
