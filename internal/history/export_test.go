package history

// InvariantOf is what the tests hold against the table of the documents.
var InvariantOf = invariantOf
