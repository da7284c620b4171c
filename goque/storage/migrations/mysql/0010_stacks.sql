-- A row asks the node `owner` for the Python stack of a task that it runs; the node writes the answer, a JSON text.
-- Whoever asked deletes the row; the next one who asks deletes what is left of others.
CREATE TABLE IF NOT EXISTS goque_stack (
    id       CHAR(36)    CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    task_id  CHAR(36)    CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    owner    VARCHAR(64) CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NOT NULL,
    asked_at TIMESTAMP(6) NULL,
    answer   LONGTEXT    CHARACTER SET utf8mb4 /*M!100600 COLLATE utf8mb4_nopad_bin */ /*!80017 COLLATE utf8mb4_0900_bin */ NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB CHARACTER SET utf8mb4;
