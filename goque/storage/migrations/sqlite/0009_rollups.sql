-- A row has what one node has run in one slot of time, by type: how many runs ended and how, and how long they took. `slot`
-- is the start in seconds since 1970, `step` the length in seconds. The cleaner merges the rows of a slot that is over
-- into one with an empty `writer`, and deletes old ones. Nothing is written for a time without runs.
CREATE TABLE goque_rollup (
    step   INTEGER NOT NULL,
    slot   INTEGER NOT NULL,
    writer TEXT    NOT NULL,
    runs   TEXT    NOT NULL,
    PRIMARY KEY (step, slot, writer)
);
