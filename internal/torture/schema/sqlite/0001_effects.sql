-- Without a unique constraint: one would hide the second effect that a torture looks for.
CREATE TABLE torture_effects (
	source     TEXT NOT NULL,
	mode       TEXT NOT NULL,
	key        TEXT NOT NULL,
	handler    TEXT NOT NULL,
	generation INTEGER NOT NULL,
	attempt    INTEGER NOT NULL
) STRICT;
CREATE INDEX torture_effects_key ON torture_effects (source, mode, key);
