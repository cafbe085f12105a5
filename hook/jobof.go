package hook

import "context"

type jobKey struct{}

// WithJob returns a context that carries the job being worked; the worker calls
// it before Handle.
func WithJob(ctx context.Context, job *Job) context.Context {
	return context.WithValue(ctx, jobKey{}, job)
}

// JobOf returns the job that a handler's context belongs to: its attempt, its
// generation. Outside a handler it is an empty Job. Nobody changes it.
func JobOf(ctx context.Context) *Job {
	if j, ok := ctx.Value(jobKey{}).(*Job); ok {
		return j
	}
	return &Job{}
}
