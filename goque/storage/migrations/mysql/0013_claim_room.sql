-- claim_room is space that a claim gives up. A claim writes its owner and its time into the row. On a full page a row that
-- grows costs InnoDB a reorganization of the page, and half of the redo log of a task.
ALTER TABLE goque_task
    ADD COLUMN claim_room VARCHAR(52) CHARACTER SET latin1 DEFAULT '....................................................';

-- A claim sets claim_rank. The index of limits has the priority instead, and so only claims of tasks with keys change it.
ALTER TABLE goque_task
    DROP INDEX goque_task_limit_idx,
    ADD INDEX goque_task_limit_idx (type, waiting_key, priority DESC, next_attempt_at);
