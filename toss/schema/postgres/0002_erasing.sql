-- By which the purchases of one buyer are found.
CREATE INDEX checkouts_customer ON checkouts (customer_key);
