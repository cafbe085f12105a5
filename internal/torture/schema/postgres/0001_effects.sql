-- Without a unique constraint: one would hide the second effect that a torture looks for.
CREATE TABLE torture_effects (
	source     text NOT NULL,
	mode       text NOT NULL,
	key        text NOT NULL,
	handler    text NOT NULL,
	generation bigint NOT NULL,
	attempt    bigint NOT NULL
);
CREATE INDEX torture_effects_key ON torture_effects (source, mode, key);
