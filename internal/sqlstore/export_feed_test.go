package sqlstore

import "github.com/hookkeeper/hookkeeper/hook"

// FeedStatement is what a waiting feed runs several times a second.
func FeedStatement(f hook.Filter) string {
	c := NewCore(nil)
	where, args, err := c.where(f)
	if err != nil {
		panic(err)
	}
	return infoSQL + feedTail(where, len(args))
}
