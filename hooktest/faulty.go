package hooktest

import (
	"context"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Faulty is a store that fails on order. Before is asked ahead of each writing
// call, and its error is returned instead of the call; After is asked behind it,
// and its error is returned although the call was carried out: the fault that a
// lost connection causes. Both get the name of the method; nil never fails.
type Faulty struct {
	hook.Store
	Before, After func(method string) error
}

func (f *Faulty) around(method string, call func() error) error {
	if f.Before != nil {
		if err := f.Before(method); err != nil {
			return err
		}
	}
	err := call()
	if err == nil && f.After != nil {
		err = f.After(method)
	}
	return err
}

// Record is hook.Recorder's.
func (f *Faulty) Record(ctx context.Context, d hook.Delivery, id hook.Identity, handlers []string) (r hook.Receipt, err error) {
	err = f.around("Record", func() error {
		r, err = f.Store.Record(ctx, d, id, handlers)
		return err
	})
	return r, err
}

// Finish is hook.Queue's.
func (f *Faulty) Finish(ctx context.Context, job *hook.Job, effect hook.Effect) error {
	return f.around("Finish", func() error { return f.Store.Finish(ctx, job, effect) })
}

// Bury is hook.Queue's.
func (f *Faulty) Bury(ctx context.Context, job *hook.Job, cause hook.Cause) error {
	return f.around("Bury", func() error { return f.Store.Bury(ctx, job, cause) })
}
