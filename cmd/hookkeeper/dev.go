package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hookkeeper/hookkeeper/internal/dev"
)

type devCmd struct {
	Dir            string `help:"Folder for database and secrets." default:".hookkeeper" placeholder:"DIR"`
	Listen         string `help:"Address for senders; a free port if the default is taken." standard:"127.0.0.1:8080" placeholder:"ADDR"`
	OperatorListen string `help:"Address for operators; a free port if the default is taken." standard:"127.0.0.1:8081" placeholder:"ADDR"`
	SandboxListen  string `help:"Address of the Toss sandbox; a free port if the default is taken." standard:"127.0.0.1:7070" placeholder:"ADDR"`
	StripeListen   string `help:"Address of Stripe's double; a free port if the default is taken." standard:"127.0.0.1:7071" placeholder:"ADDR"`
	LogFormat      string `help:"How the log is written." enum:"text,json" default:"text" placeholder:"FORMAT"`
	LogLevel       string `help:"What the log leaves out." enum:"debug,info,warn,error" default:"info" placeholder:"LEVEL"`
	Quiet          bool   `help:"Send no sample events."`
}

// devSamples go through the front door at every start of dev.
var devSamples = [...][2]string{
	{"stripe", "checkout.session.completed"},
	{"stripe", "invoice.paid"},
	{"toss", "PAYMENT_STATUS_CHANGED"},
	{"github", "push"},
	{"standard-webhooks", "invoice.paid"},
}

// Run serves on loopback out of a folder of its own until the context ends.
func (cmd *devCmd) Run(ctx context.Context, a *app) error {
	var p problems
	doors := &listeners{
		public:   devListen(&p, "listen", cmd.Listen, "127.0.0.1:8080"),
		operator: devListen(&p, "operator-listen", cmd.OperatorListen, defaultOperatorListen),
	}
	defer doors.close()
	sandbox := devListen(&p, "sandbox-listen", cmd.SandboxListen, "127.0.0.1:7070")
	double := devListen(&p, "stripe-listen", cmd.StripeListen, "127.0.0.1:7071")
	defer closeAll(sandbox, double)
	if len(p) > 0 {
		return errors.Join(p...)
	}
	folder, err := prepareDevFolder(cmd.Dir)
	if err != nil {
		return fmt.Errorf("dev folder %s: %w", cmd.Dir, err)
	}
	folder.values["HOOKKEEPER_URL"] = "http://" + addressOf(doors.public)
	folder.values["HOOKKEEPER_OPERATOR"] = "http://" + addressOf(doors.operator)
	shop, billing := openShop(sandbox, folder), openStripe(double, folder)
	c := folder.config()
	c.Checkout.PublicURL = folder.values["HOOKKEEPER_URL"]
	c.LogFormat, c.LogLevel = cmd.LogFormat, cmd.LogLevel
	c.Handlers[logHandlerName] = []string{"*:*"}
	encryptionFromEnvironment(c, a.env, &p)
	c.Encryption.read(&p)
	sources := c.build(&p)
	plans := c.departments(&p)
	if len(p) > 0 {
		return errors.Join(p...)
	}
	log, err := newLogger(a.stderr, c)
	if err != nil {
		return err
	}
	n := node{config: c, sources: sources, plans: billing.attend(plans, log), doors: doors, log: log}
	return n.run(ctx, func(ctx context.Context) {
		// Written only now: a second dev in this folder has been refused, and
		// other commands find the addresses of the one that runs.
		if err := folder.write(); err != nil {
			log.Error("dev folder", "error", err.Error())
		}
		go shop.serve(ctx, log)
		go billing.serve(ctx, log)
		if err := shop.stock(ctx, folder); err != nil && ctx.Err() == nil {
			log.Error("sample product", "error", err.Error())
		}
		a.welcome(folder, c, shop.lines(folder)+billing.lines(), billing.story(folder, dirFlag(folder)), n.loginLink())
		if !cmd.Quiet {
			sendSamples(ctx, a, folder, c)
		}
	})
}

// devListen takes the wished address, or a free port if only the default is
// taken. dev refuses to be reached from elsewhere: its secrets are for trying.
func devListen(p *problems, flag, wish, standard string) net.Listener {
	address := wish
	if address == "" {
		address = standard
	}
	if checkAddress(p, "--"+flag, address); len(*p) > 0 {
		return nil
	}
	if !isLoopback(address) {
		p.add("--%s %s: dev listens on loopback only, use serve", flag, address)
		return nil
	}
	l, err := net.Listen("tcp", address)
	if wish == "" && errors.Is(err, syscall.EADDRINUSE) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		p.add("--%s: %v", flag, err)
		return nil
	}
	return l
}

// welcome prints every address and a ready line for each source.
func (a *app) welcome(f *devFolder, c *config, doubles, story, login string) {
	public, operator := f.values["HOOKKEEPER_URL"], f.values["HOOKKEEPER_OPERATOR"]
	secrets := filepath.Join(f.path, devEnvFile)
	flag := dirFlag(f)
	var b strings.Builder
	fmt.Fprintf(&b, "\nhookkeeper dev\n\n")
	fmt.Fprintf(&b, "  receives   %s/hooks/{source}\n", public)
	fmt.Fprintf(&b, "  dashboard  %s%s  (logs in once)\n", operator, login)
	b.WriteString(doubles)
	fmt.Fprintf(&b, "  operators  %s/api/v1/events  (token in %s)\n", operator, secrets)
	fmt.Fprintf(&b, "  metrics    %s/metrics\n", operator)
	fmt.Fprintf(&b, "  database   %s\n", sqlitePath(c.Database))
	fmt.Fprintf(&b, "  secrets    %s\n\n", secrets)
	fmt.Fprintf(&b, "For your application's .env:\n\n  %s=%s\n\n", envStripeSecret, f.values[envStripeSecret])
	fmt.Fprintf(&b, "Send signed events:\n\n")
	for _, sample := range devSamples[1:] {
		fmt.Fprintf(&b, "  hookkeeper send %s %s%s\n", sample[0], sample[1], flag)
	}
	fmt.Fprintf(&b, "\nOr by hand, after  set -a; . %s\n\n", shellQuote(dotted(secrets)))
	for _, sample := range devSamples[1:] {
		fmt.Fprintf(&b, "  %s\n\n", curlLine(public, sample[0]))
	}
	b.WriteString(story)
	fmt.Fprintf(&b, "Look, and see an event whole:\n\n  hookkeeper events list%s\n", flag)
	fmt.Fprintf(&b, "  curl -s -H \"Authorization: Bearer $%s\" %s/api/v1/events\n\n", envToken, operator)
	_, _ = a.stdout.Write([]byte(b.String())) // a.stdout remembers a failure
}

// dirFlag leads other commands to the folder.
func dirFlag(f *devFolder) string {
	if f.path == ".hookkeeper" {
		return ""
	}
	return " --dir " + shellQuote(f.path)
}

// closeAll closes the listeners that were opened.
func closeAll(all ...net.Listener) {
	for _, l := range all {
		if l != nil {
			_ = l.Close() // whoever served it has closed it already
		}
	}
}

// curlLine signs with openssl, as the sender would. Toss never signs its payment
// events.
func curlLine(public, source string) string {
	endpoint := "curl -s " + public + "/hooks/" + source
	const hexMAC = `openssl dgst -sha256 -hmac "$%s" -r | cut -d' ' -f1`
	switch source {
	case "stripe":
		return `T=$(date +%s); B='{"id":"evt_try1","object":"event","type":"try"}'; ` + endpoint +
			` -d "$B" -H "Stripe-Signature: t=$T,v1=$(printf %s "$T.$B" | ` + fmt.Sprintf(hexMAC, envStripeSecret) + `)"`
	case "github":
		return `B='{"zen":"try","hook_id":1}'; ` + endpoint + ` -d "$B" -H 'X-GitHub-Event: ping' -H 'X-GitHub-Delivery: try1'` +
			` -H "X-Hub-Signature-256: sha256=$(printf %s "$B" | ` + fmt.Sprintf(hexMAC, envGitHubSecret) + `)"`
	case "standard-webhooks":
		return `T=$(date +%s); B='{"type":"try","data":{}}'; ` +
			`K=$(printf %s "${` + envStandardSecret + `#whsec_}" | base64 -d | od -An -tx1 | tr -d ' \n'); ` + endpoint +
			` -d "$B" -H 'webhook-id: try1' -H "webhook-timestamp: $T" -H "webhook-signature: v1,$(printf %s "try1.$T.$B"` +
			` | openssl dgst -sha256 -mac HMAC -macopt hexkey:$K -binary | base64)"`
	}
	return endpoint + ` -H 'tosspayments-webhook-transmission-id: whtrans_try1' ` +
		`-d '{"eventType":"PAYMENT_STATUS_CHANGED","createdAt":"2026-03-01T09:30:40.123456",` +
		`"data":{"paymentKey":"try","orderId":"try","status":"DONE"}}'`
}

// dotted gives a path that the shell's dot command does not look for in PATH.
func dotted(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return "./" + path
}

func shellQuote(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-", r))
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// sendSamples sends a few signed events through the front door.
func sendSamples(ctx context.Context, a *app, f *devFolder, c *config) {
	for _, sample := range devSamples {
		conf := c.Sources[sample[0]]
		s, err := conf.source(sample[0])
		if err != nil {
			continue // built a moment ago
		}
		_, err = dev.Send(ctx, dev.Plan{
			URL: f.values["HOOKKEEPER_URL"] + "/hooks/" + sample[0], Source: s, Sender: conf.Sender, Type: sample[1],
		}, func(r dev.Result) { fmt.Fprintf(a.stdout, "  sent  %s\n", resultLine(r)) })
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(a.stdout, "  sent  %s %s: %s\n", sample[0], sample[1], printable(err.Error()))
		}
	}
}
