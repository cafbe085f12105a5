package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// said is what one run of the command line left behind.
type said struct {
	code           int
	stdout, stderr string
}

// call runs the command line with an environment of its own.
func call(t *testing.T, env map[string]string, args ...string) said {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}, strings.NewReader(""), &out, &errs)
	return said{code, out.String(), errs.String()}
}

// file writes a file into a folder of the test and returns its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExitCodeTellsUsageFromFailure(t *testing.T) {
	t.Chdir(t.TempDir())
	stripe := map[string]string{"STRIPE_WEBHOOK_SECRET": "whsec_0123456789abcdef0123"}
	for _, test := range []struct {
		name string
		env  map[string]string
		args []string
		code int
		says string
	}{
		{"no command", nil, nil, 2, "expected one of"},
		{"unknown command", nil, []string{"receive"}, 2, "unexpected argument receive"},
		{"unknown flag", nil, []string{"serve", "--prot"}, 2, "unknown flag --prot"},
		{"unknown role", stripe, []string{"serve", "--role", "worker"}, 2, "--role must be one of"},
		{"unknown log format", stripe, []string{"serve", "--log-format", "xml"}, 2, "--log-format must be one of"},
		{"unknown scenario", stripe, []string{"send", "stripe", "invoice.paid", "--scenario", "slow"}, 2, "there are duplicate"},
		{"set without a value", stripe, []string{"send", "stripe", "invoice.paid", "--set", "a.b"}, 2, "want path=value"},
		{"replay without a reason", stripe, []string{"replay", "ev_1"}, 2, "--reason is required"},
		{"raw and json", nil, []string{"events", "show", "ev_1", "--raw", "--json"}, 2, "exclude each other"},
		{"unknown state", nil, []string{"events", "list", "--state", "lost"}, 2, "unknown state"},
		{"since that is no time", nil, []string{"events", "list", "--since", "noon"}, 2, "--since"},
		{"help", nil, []string{"events", "list", "--help"}, 0, ""},
		{"role on sqlite", stripe, []string{"serve", "--role", "receive", "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0"}, 1, "use --role all"},
		{"no configuration", nil, []string{"serve", "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0"}, 1, "no sources"},
		{"nobody answers", nil, []string{"events", "list", "--operator", "http://127.0.0.1:1"}, 1, "no hookkeeper answers at http://127.0.0.1:1"},
		{"no such database", nil, []string{"events", "list", "--database", "sqlite:none.db"}, 1, "none.db"},
		{"unknown type", stripe, []string{"send", "stripe", "invioce.paid"}, 1, "nearest is invoice.paid"},
		{"no secret to sign with", nil, []string{"send", "stripe", "invoice.paid"}, 1, "--secret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := call(t, test.env, test.args...)
			if got.code != test.code {
				t.Errorf("exit code %d, want %d; stderr: %s", got.code, test.code, got.stderr)
			}
			if !strings.Contains(got.stderr, test.says) {
				t.Errorf("stderr %q does not say %q", got.stderr, test.says)
			}
			if test.code != 0 && (got.stdout != "" || strings.Count(got.stderr, "\n") != 1) {
				t.Errorf("want one line on stderr and nothing on stdout, got %q and %q", got.stderr, got.stdout)
			}
		})
	}
}

// TestServeRefusesDangerousEmptiness covers the values of which each would let
// forgeries in, or operators' pages out.
func TestServeRefusesDangerousEmptiness(t *testing.T) {
	t.Chdir(t.TempDir())
	const good = "whsec_0123456789abcdef0123"
	for _, test := range []struct {
		name string
		env  map[string]string
		file string
		args []string
		says []string // on stderr, each
		hide string   // never on stderr
	}{
		{"empty", map[string]string{"STRIPE_WEBHOOK_SECRET": ""}, "", nil,
			[]string{"secrets[0]", "STRIPE_WEBHOOK_SECRET"}, ""},
		{"blank", map[string]string{"GITHUB_WEBHOOK_SECRET": "   "}, "", nil,
			[]string{"secrets[0]", "GITHUB_WEBHOOK_SECRET"}, ""},
		{"bare prefix", map[string]string{"STRIPE_WEBHOOK_SECRET": "whsec_"}, "", nil, []string{"secrets[0]"}, ""},
		{"shell variable", map[string]string{"STRIPE_WEBHOOK_SECRET": "${STRIPE_SECRET_OF_PROD}"}, "", nil,
			[]string{"placeholder"}, "STRIPE_SECRET_OF_PROD"},
		{"placeholder", map[string]string{"GITHUB_WEBHOOK_SECRET": "your_webhook_secret"}, "", nil,
			[]string{"placeholder"}, "your_webhook"},
		{"changeme", map[string]string{"GITHUB_WEBHOOK_SECRET": "changeme"}, "", nil, []string{"placeholder"}, "changeme"},
		{"second of two empty", map[string]string{"STRIPE_WEBHOOK_SECRET": good + ","}, "", nil,
			[]string{"secrets[1]"}, good},
		{"key of the wrong kind", map[string]string{"STRIPE_WEBHOOK_SECRET": "sk_live_51Habcdefghijklmn"}, "", nil,
			[]string{"not a signing secret"}, "51Habcdefghijklmn"},
		{"empty toss key", map[string]string{"TOSS_SECRET_KEY": ""}, "", nil, []string{"TOSS_SECRET_KEY"}, ""},
		{"live key in test mode", map[string]string{"STRIPE_WEBHOOK_SECRET": good, "K": "sk_live_51Habcdefghijklmn"},
			"sources: {stripe: {sender: stripe, secrets: [env:STRIPE_WEBHOOK_SECRET], api_key: env:K, live: false}}", nil,
			[]string{"other mode"}, "51Habcdefghijklmn"},
		{"unset in file", nil, "sources: {p: {sender: standard-webhooks, secrets: [env:PARTNER]}}", nil,
			[]string{"c.yaml:1", "PARTNER is not set"}, ""},
		{"no secrets in file", nil, "sources: {p: {sender: github}}", nil, []string{`source "p"`, "secrets"}, ""},
		{"zero tolerance", map[string]string{"S": good}, "sources: {p: {sender: stripe, secrets: [env:S], tolerance: 0}}", nil,
			[]string{"tolerance"}, good},
		{"both X and X_FILE", map[string]string{"GITHUB_WEBHOOK_SECRET": good, "GITHUB_WEBHOOK_SECRET_FILE": "none"}, "", nil,
			[]string{"both set"}, good},
		{"X_FILE that is not there", map[string]string{"GITHUB_WEBHOOK_SECRET_FILE": "none"}, "", nil,
			[]string{"GITHUB_WEBHOOK_SECRET_FILE"}, ""},
		{"operators from everywhere", map[string]string{"STRIPE_WEBHOOK_SECRET": good}, "",
			[]string{"--operator-listen", ":0"}, []string{"not loopback", "HOOKKEEPER_OPERATOR_TOKEN"}, good},
		{"empty operator token", map[string]string{"STRIPE_WEBHOOK_SECRET": good, "HOOKKEEPER_OPERATOR_TOKEN": " "}, "",
			[]string{"--operator-listen", ":0"}, []string{"HOOKKEEPER_OPERATOR_TOKEN"}, good},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"serve", "--listen", "127.0.0.1:0"}, test.args...)
			if test.file != "" {
				args = append(args, "--config", file(t, "c.yaml", test.file))
			}
			refused(t, call(t, test.env, args...), test.says, test.hide)
		})
	}
}

// TestServeRefusesWhatItCannotMean covers mistakes in files, addresses and
// folders.
func TestServeRefusesWhatItCannotMean(t *testing.T) {
	t.Chdir(t.TempDir())
	env := map[string]string{"S": "whsec_0123456789abcdef0123"}
	const source = "sources: {stripe: {sender: stripe, secrets: [env:S]}}\n"
	for _, test := range []struct {
		name, file string
		args, says []string
	}{
		{"unknown key", "databse: sqlite:x.db\n" + source, nil, []string{`c.yaml:1: unknown key "databse"`, `nearest known one is "database"`}},
		{"unknown key of a source", "sources:\n  stripe:\n    sender: stripe\n    secrts: [env:S]\n", nil,
			[]string{`c.yaml:4: unknown key "secrts" in sources.stripe`, `"secrets"`}},
		{"one source twice", "sources:\n  a: {sender: stripe, secrets: [env:S]}\n  a: {sender: stripe, secrets: [env:S]}\n", nil,
			[]string{"c.yaml:3", "already defined"}},
		{"forward to this machine", "forward: {app: {to: http://127.0.0.1}}\n" + source, nil, []string{"loopback", "events: none", "c.yaml:1"}},
		{"bad duration", "work: {lease: soon}\n" + source, nil, []string{"c.yaml:1: work.lease"}},
		{"zero lease", "work: {lease: 0s}\n" + source, nil, []string{"work.lease: must be longer"}},
		{"negative slots", "work: {slots: -1}\n" + source, nil, []string{"work.slots"}},
		{"unknown sender", "sources: {x: {sender: strype, secrets: [env:S]}}\n", nil, []string{`"strype"`, "standard-webhooks"}},
		{"unknown handler", "handlers: {mail: {events: ['*:*']}}\n" + source, nil, []string{`unknown handler "mail"`}},
		{"pattern without a source", "handlers: {log: {events: ['*']}}\n" + source, nil, []string{"source:type"}},
		{"not a mapping", "- a\n", nil, []string{"c.yaml:1", "mapping"}},
		{"no YAML", "a: [1\n", nil, []string{"c.yaml:"}},
		{"postgres", source, []string{"--database", "postgres://u:hunter2hunter2@127.0.0.1:1/app"}, []string{"127.0.0.1"}},
		{"database of no kind", source, []string{"--database", "mysql"}, []string{"want sqlite:PATH"}},
		{"no such folder", source, []string{"--database", "sqlite:none/x.db"}, []string{"none/x.db", "folder cannot be written"}},
		{"bad address", source, []string{"--listen", "8080"}, []string{"want HOST:PORT"}},
		{"port in words", source, []string{"--listen", ":http"}, []string{"port must be a number"}},
		{"log format", "log_format: xml\n" + source, nil, []string{"log_format"}},
		{"log level", "log_level: loud\n" + source, nil, []string{"log_level"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"serve", "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0",
				"--config", file(t, "c.yaml", test.file)}, test.args...)
			refused(t, call(t, env, args...), test.says, "hunter2")
		})
	}
}

func TestServeTellsAllProblemsAtOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	path := file(t, "c.yaml", "lissten: x\nwork: {lease: soon, slots: 0}\nsources: {p: {sender: github}}\n")
	got := call(t, nil, "serve", "--config", path, "--listen", "nowhere")
	for _, want := range []string{"lissten", "work.lease", "work.slots", `source "p"`, "listen \"nowhere\""} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("stderr does not name %q:\n%s", want, got.stderr)
		}
	}
	for line := range strings.Lines(got.stderr) {
		if !strings.HasPrefix(line, "hookkeeper: ") {
			t.Errorf("a problem is spread over lines: %q", line)
		}
	}
}

func refused(t *testing.T, got said, says []string, hide string) {
	t.Helper()
	if got.code != exitFailed || got.stdout != "" {
		t.Errorf("exit code %d, stdout %q; want 1 and nothing", got.code, got.stdout)
	}
	for _, want := range says {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("stderr %q does not say %q", got.stderr, want)
		}
	}
	if hide != "" && strings.Contains(got.stderr, hide) {
		t.Errorf("stderr shows %q: %q", hide, got.stderr)
	}
}

func TestServeRefusesFast(t *testing.T) {
	t.Chdir(t.TempDir())
	begun := time.Now()
	call(t, nil, "serve")
	if took := time.Since(begun); took > time.Second {
		t.Errorf("took %s, want less than a second", took)
	}
}

func TestPrintConfigMasksEverySecret(t *testing.T) {
	t.Chdir(t.TempDir())
	const inFile, inEnv, key = "whsec_literal0123456789", "whsec_0123456789abcdef0123", "sk_test_0123456789abc"
	path := file(t, "c.json", "{\n\t\"operator_token\": \"env:T\",\n\t\"work\": {\"lease\": \"45s\", \"backoff\": {\"base\": 5}},\n"+
		"\t\"sources\": {\"stripe\": {\"sender\": \"stripe\", \"secrets\": [\"env:S\", \""+inFile+"\"], \"api_key\": \"env:K\"}}\n}\n")
	env := map[string]string{"S": inEnv, "K": key, "T": "token-0123456789abcdef", "HOOKKEEPER_LISTEN": "127.0.0.1:9", "HOOKKEEPER_DATABASE": "sqlite:env.db"}
	got := call(t, env, "serve", "--print-config", "--config", path, "--listen", "127.0.0.1:7")
	if got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.stderr)
	}
	for _, secret := range []string{inFile, inEnv, key, "token-0123"} {
		if strings.Contains(got.stdout+got.stderr, secret) {
			t.Errorf("shows a secret:\n%s%s", got.stdout, got.stderr)
		}
	}
	// Flags beat the environment, the environment the file, the file the defaults.
	for _, want := range []string{"127.0.0.1:7", "sqlite:env.db", "lease: 45s", "base: 5s", "max: 12h0m0s", "attempts: 12", "live: false", "operator_listen: 127.0.0.1:8081"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("does not show %q:\n%s", want, got.stdout)
		}
	}
}

func TestEnvironmentKeepsARotationOfTheFile(t *testing.T) {
	path := file(t, "c.yaml", "sources: {stripe: {sender: stripe, secrets: [env:NEW, env:STRIPE_WEBHOOK_SECRET]}}")
	env := map[string]string{"NEW": "whsec_new0123456789abc", "STRIPE_WEBHOOK_SECRET": "whsec_old0123456789abc"}
	c, p := loadConfig(path, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if len(p) > 0 {
		t.Fatal(p)
	}
	got := c.Sources["stripe"].Secrets
	if len(got) != 2 || got[0].value != env["NEW"] || got[1].value != env["STRIPE_WEBHOOK_SECRET"] {
		t.Errorf("secrets come from %v, want both of the file", got)
	}
}
