-- A periodic job may be paused; other versions of goque leave the column alone.
ALTER TABLE goque_schedule ADD COLUMN paused SMALLINT NOT NULL DEFAULT 0;
