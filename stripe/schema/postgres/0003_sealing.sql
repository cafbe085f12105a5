-- What e-mails are compared by where they are sealed: a keyed hash.
ALTER TABLE customers ADD COLUMN email_index text;
