package bench

// NewGroupsAt is NewGroups for a tree that a test has made.
func NewGroupsAt(roots ...string) (*Groups, error) { return newGroups(roots...) }
