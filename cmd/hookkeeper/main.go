package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	stderr := newLogQueue(os.Stderr)
	code := run(ctx, os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, stderr)
	stderr.close()
	os.Exit(code)
}
