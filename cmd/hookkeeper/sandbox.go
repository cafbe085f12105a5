package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hookkeeper/hookkeeper/tosstest"
)

type sandboxCmd struct {
	Toss sandboxTossCmd `cmd:"" help:"Play Toss Payments on this machine: script, payment window, API, events; no money moves."`
}

type sandboxTossCmd struct {
	Listen       string        `help:"Address of the simulator." default:"127.0.0.1:7070" placeholder:"ADDR"`
	AllowRemote  bool          `help:"Let other machines reach it, such as a phone; it has no login."`
	Webhook      string        `help:"Where events are sent, such as http://127.0.0.1:8080/hooks/toss; default: nowhere." placeholder:"URL"`
	SecretKey    string        `help:"The only secret key that the API takes; default: any that begins with test_gsk_ or test_sk_." placeholder:"KEY"`
	SecurityKey  []string      `help:"Signs events, 64 hexadecimal digits; given twice: as while Toss replaces it." placeholder:"HEX"`
	KeyEncoding  string        `help:"Whether those digits are the key, or the bytes that they spell." enum:"hex,bytes" default:"hex"`
	Sign         string        `help:"What is signed: none; docs: payout and seller events; all; legacy: all, the body alone." standard:"docs with a security key" enum:"none,docs,all,legacy," default:"" placeholder:"HOW"`
	TimeScale    float64       `help:"Speed of its clock: 60 makes an hour a minute." default:"1" placeholder:"N"`
	RateLimit    int           `help:"Calls a minute to each API before 429, 100 at the real one; 0: no limit." default:"0" placeholder:"N"`
	ReplayErrors bool          `help:"Repeat stored errors too for a repeated Idempotency-Key."`
	Timeout      time.Duration `help:"Longest time for an answer to an event." default:"10s" placeholder:"TIME"`
	Quiet        bool          `help:"Print no line for each call and event."`
}

// Run plays Toss until the context ends.
func (cmd *sandboxTossCmd) Run(ctx context.Context, a *app) error {
	if err := cmd.check(); err != nil {
		return err
	}
	door, err := net.Listen("tcp", cmd.Listen)
	if err != nil {
		return fmt.Errorf("sandbox: %v", err)
	}
	base := "http://" + addressOf(door)
	o := cmd.options(base)
	if !cmd.Quiet {
		var one sync.Mutex
		o.Say = func(line string) {
			one.Lock()
			defer one.Unlock()
			fmt.Fprintf(a.stdout, "%s\n", printable(line))
		}
	}
	cmd.welcome(a, base)
	return playToss(ctx, tosstest.New(o), door)
}

// playToss serves a simulator until ctx ends.
func playToss(ctx context.Context, sim *tosstest.Sim, door net.Listener) error {
	return playDouble(ctx, sim, door, sim.Close)
}

// playDouble serves what plays another company until ctx ends, then lets go of
// what hangs.
func playDouble(ctx context.Context, double http.Handler, door net.Listener, letGo func()) (err error) {
	server := &http.Server{Handler: double, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	failed := make(chan error, 1)
	go func() { failed <- served(server.Serve(door)) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	letGo() // first: the server would wait for what hangs
	end, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	if server.Shutdown(end) != nil {
		_ = server.Close() // cuts what is left; there is nobody to tell
	}
	return err
}

func (cmd *sandboxTossCmd) options(base string) tosstest.Options {
	return tosstest.Options{
		SecretKey: cmd.SecretKey, SecurityKeys: cmd.SecurityKey, KeyEncoding: cmd.KeyEncoding, Sign: cmd.Sign,
		WebhookURL: cmd.Webhook, BaseURL: base, TimeScale: cmd.TimeScale, DeliveryTimeout: cmd.Timeout,
		RateLimit: cmd.RateLimit, ReplayErrors: cmd.ReplayErrors,
	}
}

// check refuses what would make the simulator dangerous or dead.
func (cmd *sandboxTossCmd) check() error {
	var p problems
	checkAddress(&p, "--listen", cmd.Listen)
	if len(p) == 0 && !isLoopback(cmd.Listen) && !cmd.AllowRemote {
		p.add("--listen %s: other machines could reach it, and it has no login; add --allow-remote if they shall", cmd.Listen)
	}
	if strings.HasPrefix(cmd.SecretKey, "live_") {
		p.add("--secret-key: this is a live key; it has no business in a sandbox, use one that begins with test_gsk_")
	}
	if cmd.TimeScale <= 0 {
		p.add("--time-scale %g: want a number above 0", cmd.TimeScale)
	}
	if cmd.Timeout <= 0 {
		p.add("--timeout %s: want a time above 0", cmd.Timeout)
	}
	if err := cmd.options("").Validate(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			p.add("%s", strings.TrimPrefix(line, "tosstest: "))
		}
	}
	if len(p) > 0 {
		return usage("%s", strings.ReplaceAll(errors.Join(p...).Error(), "\n", "; "))
	}
	return nil
}

// welcome says how the other side is set up. It shows no key that was given.
func (cmd *sandboxTossCmd) welcome(a *app, base string) {
	script := base
	if host, port, err := net.SplitHostPort(strings.TrimPrefix(base, "http://")); err == nil && host == "127.0.0.1" {
		script = "http://localhost:" + port // another site than the page's, as the real one is
	}
	secret := "test_gsk_sandbox"
	if cmd.SecretKey != "" {
		secret = "(the one given)"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nToss sandbox\n\n  console  %s/\n  events   %s\n\n", base, orDash(cmd.Webhook))
	fmt.Fprintf(&b, "For hookkeeper's environment:\n\n")
	fmt.Fprintf(&b, "  TOSS_API_BASE=%s\n  TOSS_SDK_URL=%s/v2/standard\n", base, script)
	fmt.Fprintf(&b, "  TOSS_CLIENT_KEY=test_gck_sandbox\n  TOSS_SECRET_KEY=%s\n\n", secret)
	_, _ = a.stdout.Write([]byte(b.String())) // a.stdout remembers a failure
}
