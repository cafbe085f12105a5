// Command hookkeeper receives webhooks, keeps each event once and works it
// until it is done. One file holds one command; the files config*.go read the
// configuration, of which flags beat the environment, the environment beats the
// file, and the file beats the defaults.
//
// It promises exit code 0 for done, 1 for failed and 2 for wrong usage, errors
// on stderr as one readable line each, with --json nothing but JSON lines on
// stdout, and never a secret, nor a byte of a stranger that could steer a
// terminal, in any of it. It is the only package that reads the environment.
//
// It is larger than other packages because every command and every setting has
// its place here; none of them knows another, and all work is done elsewhere.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit codes, fixed by the public contract.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// cli is the command line as kong sees it.
type cli struct {
	Dev       devCmd       `cmd:"" help:"Try hookkeeper with no configuration: a folder of its own, generated secrets, signed sample events."`
	Serve     serveCmd     `cmd:"" help:"Receive deliveries and work them."`
	Send      sendCmd      `cmd:"" help:"Sign and send test deliveries to a running hookkeeper."`
	Forward   forwardCmd   `cmd:"" help:"Pass recorded events on to a program of yours, from where it stopped last time."`
	Events    eventsCmd    `cmd:"" help:"Look into the event log."`
	Sources   sourcesCmd   `cmd:"" help:"Look at configured sources, and why a captured delivery does or does not verify."`
	Replay    replayCmd    `cmd:"" help:"Let handlers work recorded events again."`
	Products  productsCmd  `cmd:"" help:"What the checkout sells: add, list, show, close."`
	Reconcile reconcileCmd `cmd:"" help:"Ask the sender's API for what was missed, record it, and print the gap report."`
	Tokens    tokensCmd    `cmd:"" help:"Add, list and revoke named operator tokens."`
	Approvals approvalsCmd `cmd:"" help:"What one operator has asked for and another must approve."`
	Audit     auditCmd     `cmd:"" help:"Whether the audit trail still is what it was."`
	Keys      keysCmd      `cmd:"" help:"Encryption at rest: list and rotate its keys, and seal what is still plain."`
	Holds     holdsCmd     `cmd:"" help:"Legal holds: what nothing may be removed of."`
	Erase     eraseCmd     `cmd:"" help:"Remove what a source has told of one customer; keys, history and money stay."`
	Doctor    doctorCmd    `cmd:"" help:"Check configuration, database, clock, secrets and listeners, and say what to do."`
	Sandbox   sandboxCmd   `cmd:"" help:"Play a sender's whole side on this machine, for tests and for trying."`
	Migrate   migrateCmd   `cmd:"" help:"Create or update the database schema."`
	Bench     benchCmd     `cmd:"" help:"Measure this machine: deliveries and jobs a second, beside the same server without a store."`
	Torture   tortureCmd   `cmd:"" help:"Crash and fault rounds against nodes and a database of its own; every history is judged."`
	Version   versionCmd   `cmd:"" help:"Print version, commit, Go and schema."`

	Completion completionCmd `cmd:"" help:"Print a script that completes commands and flags in a shell."`

	Help helpFlag `short:"h" help:"Show help for a command."`
}

// app is what a command gets from its caller.
type app struct {
	env    lookup
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// lookup reads one variable of the environment, as os.LookupEnv does: set but
// empty is a mistake that must be told from unset.
type lookup func(name string) (string, bool)

// run is the whole program but for the process: it returns the exit code.
func run(ctx context.Context, args []string, env lookup, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &output{w: stdout}
	a := &app{env: env, stdin: stdin, stdout: out, stderr: stderr}
	var c cli
	parser, err := kong.New(&c, kong.Name("hookkeeper"), kong.NoDefaultHelp(),
		kong.Description("Receives webhooks, keeps each event once, works it until it is done."),
		kong.Writers(out, stderr), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(a),
		kong.Help(printHelp))
	if err != nil {
		panic("hookkeeper: command line: " + err.Error()) // a wrong struct tag
	}
	command, err := parser.Parse(args)
	if errors.Is(err, errHelp) {
		return exitDone
	}
	if err != nil {
		complain(stderr, fmt.Errorf("%w; see hookkeeper %s--help", err, named(parser.Model, args)))
		return exitUsage
	}
	err = command.Run()
	if err == nil && out.err != nil {
		err = fmt.Errorf("write output: %w", out.err)
	}
	return exitCode(stderr, err)
}

func exitCode(stderr io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	if !errors.Is(err, errSaid) {
		complain(stderr, err)
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// errSaid fails a command that has said on stdout why.
var errSaid = errors.New("failed, as said")

// usageError is a mistake in flags or arguments that kong cannot see.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// complain writes an error, each of several joined ones on a line of its own.
func complain(w io.Writer, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(w, "hookkeeper: %s\n", printable(line))
	}
}

// named gives the leading words of args that look like commands, for a hint.
func named(model *kong.Application, args []string) string {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return ""
	}
	for _, child := range model.Children {
		if child.Name == args[0] {
			return args[0] + " "
		}
	}
	return ""
}

// helpFlag prints help and ends the parse. kong's own would end the process.
type helpFlag bool

var errHelp = errors.New("help")

// IsBool tells kong that the flag takes no value.
func (helpFlag) IsBool() bool { return true }

// BeforeReset is called by kong when it meets the flag.
func (helpFlag) BeforeReset(c *kong.Context) error {
	if err := c.PrintUsage(false); err != nil {
		return err
	}
	return errHelp
}

// output remembers the first failed write, so that a full disk does not pass
// for success.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}
