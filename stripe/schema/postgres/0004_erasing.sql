-- By which a customer is found who is named by an e-mail address.
CREATE INDEX customers_email ON customers (source, email) WHERE email IS NOT NULL;
CREATE INDEX customers_email_index ON customers (source, email_index) WHERE email_index IS NOT NULL;
