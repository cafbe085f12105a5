-- Events whose body is gone: the index of words, a file of its own, still has to
-- forget them. Written by the transaction that removes the body, emptied once the
-- index has forgotten.
CREATE TABLE unindexed (seq INTEGER PRIMARY KEY);
