-- The table as the original makes it, but for instants to the microsecond; a table that it made is taken over.
CREATE TABLE IF NOT EXISTS goque_task (
    id              CHAR(36)     PRIMARY KEY,
    type            VARCHAR(255) NOT NULL,
    external_id     VARCHAR(255) NOT NULL,
    payload         JSON         NOT NULL,
    status          VARCHAR(50)  NOT NULL,
    attempts        INT          NOT NULL,
    errors          TEXT,
    metadata        JSON,
    created_at      TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at      TIMESTAMP(6) NULL,
    next_attempt_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    UNIQUE INDEX goque_task_type_external_id_idx (type, external_id)
) ENGINE = InnoDB CHARACTER SET utf8mb4;
