package source

// MaxSlots is the number of paths that a source may read.
const MaxSlots = maxSlots

// ReadJSON walks over a body with the given paths and returns the identifiers
// that it found, whether a watched key came twice, and why it could not be read.
func ReadJSON(body []byte, read []string, watch ...string) (vals []string, ambiguous bool, err error) {
	var p peek
	err = newPaths(read, watch...).read(body, &p)
	for i := range read {
		vals = append(vals, p.id(i))
	}
	return vals, p.ambiguous, err
}

// GitHubPaths is how many slots the table of GitHub's shapes uses.
func GitHubPaths() int {
	n := 0
	var count func(*node)
	count = func(at *node) {
		if at.slot >= 0 {
			n++
		}
		for _, kids := range at.kids {
			for _, k := range kids {
				count(k)
			}
		}
	}
	count(newShapes().paths.root)
	return n
}
