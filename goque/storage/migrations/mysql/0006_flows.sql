-- A flow is tasks of which some need others. goque_need has a row for each need of a task: while `state` is 0 the need is
-- open, 1 is met, 2 is failed. `wants` says which end of the need will do: 'done', or 'ended' however it ends.
-- goque_task.flags says what a claim or an end of a task must look for; NULL for most tasks, which pay nothing.
ALTER TABLE goque_task
    ADD COLUMN flags SMALLINT;

CREATE TABLE IF NOT EXISTS goque_need (
    task_id  CHAR(36) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    position INT      NOT NULL,
    needs_id CHAR(36) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    wants    VARCHAR(16) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    state    SMALLINT NOT NULL DEFAULT 0,
    PRIMARY KEY (task_id, position),
    INDEX goque_need_needs_idx (needs_id),
    INDEX goque_need_unmet_idx (task_id, state),
    INDEX goque_need_open_idx (state, needs_id)
) ENGINE = InnoDB CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS goque_flow (
    id         CHAR(36) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL PRIMARY KEY,
    name       VARCHAR(255) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    created_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)
) ENGINE = InnoDB CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS goque_flow_task (
    flow_id  CHAR(36) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    position INT      NOT NULL,
    task_id  CHAR(36) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    PRIMARY KEY (flow_id, position),
    UNIQUE INDEX goque_flow_task_idx (task_id)
) ENGINE = InnoDB CHARACTER SET utf8mb4;
