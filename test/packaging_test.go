//go:build hktest

package test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// unit is a file of systemd: values by section and key, in their order.
type unit map[string][]string

func readUnit(t *testing.T, name string) unit {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "packaging", name))
	if err != nil {
		t.Fatal(err)
	}
	u, section := unit{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case !ok || section == "":
			t.Errorf("%s: line %q is neither a section nor a setting", name, line)
		default:
			u[section+"."+key] = append(u[section+"."+key], value)
		}
	}
	return u
}

// one gives the only value of a setting.
func (u unit) one(t *testing.T, name string) string {
	t.Helper()
	if len(u[name]) != 1 {
		t.Errorf("%s is %q, want one value", name, u[name])
		return ""
	}
	return u[name][0]
}

// The program is started as the units say: with their command, in a folder that
// is its own, with their sockets in their order and under their names.
func TestUnitsStartTheServer(t *testing.T) {
	t.Parallel()
	b, err := built()
	if err != nil {
		t.Fatal(err)
	}
	service := readUnit(t, "hookkeeper.service")
	var files []*os.File
	var names []string
	at := map[string]string{}
	for name := range strings.FieldsSeq(service.one(t, "Service.Sockets")) {
		s := readUnit(t, name)
		if got := s.one(t, "Socket.Service"); got != "hookkeeper.service" {
			t.Errorf("%s starts %s", name, got)
		}
		if role := s.one(t, "Socket.FileDescriptorName"); role == "operator" {
			if listen := s.one(t, "Socket.ListenStream"); !strings.HasPrefix(listen, "127.0.0.1:") {
				t.Errorf("the operators' socket listens at %s", listen)
			}
		}
		file, address := socket(t)
		files = append(files, file)
		names = append(names, s.one(t, "Socket.FileDescriptorName"))
		at[names[len(names)-1]] = address
	}
	if !slices.Contains(names, "public") || !slices.Contains(names, "operator") {
		t.Fatalf("the sockets are handed over as %v", names)
	}
	command := strings.Fields(service.one(t, "Service.ExecStart"))
	if command[0] != "/usr/local/bin/hookkeeper" {
		t.Errorf("the command is %s", command[0])
	}
	for name, want := range map[string]string{
		"Service.KillMode": "mixed", "Service.KillSignal": "SIGTERM", "Service.TimeoutStopSec": "10",
		"Service.EnvironmentFile": "/etc/hookkeeper/hookkeeper.env",
	} {
		if got := service.one(t, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}

	s := &server{binary: b.release, public: at["public"], operator: at["operator"], client: newClient(), log: &journal{},
		ended: make(chan struct{})}
	s.cmd = exec.CommandContext(t.Context(), b.release, command[1:]...)
	s.cmd.Dir, s.cmd.Stderr, s.cmd.ExtraFiles = t.TempDir(), s.log, files
	s.cmd.Env = append(environment(nil), "LISTEN_FDS=2", "LISTEN_FDNAMES="+strings.Join(names, ":"))
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.err = s.cmd.Wait(); close(s.ended) }()
	defer s.client.CloseIdleConnections()
	eventually(t, 10*time.Second, "the server is ready", func() bool {
		s.mustLive(t)
		code, _ := s.get("http://" + s.public + "/readyz")
		return code == http.StatusOK
	})
	s.recorded(t, stripe(stripeEvent("evt_unit", defaultSubject, "")))
	if got := s.events(t); len(got) != 1 {
		t.Errorf("at the operators' socket there are %d events, want one", len(got))
	}
	if _, err := os.Stat(filepath.Join(s.cmd.Dir, "hookkeeper.db")); err != nil {
		t.Errorf("the database is not in the working directory: %v", err)
	}
	s.stop(t)
}

// The example's variables are those that the program reads; unfilled it does
// not start.
func TestEnvironmentFileMustBeFilledIn(t *testing.T) {
	t.Parallel()
	b, err := built()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../packaging/hookkeeper.env")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), b.release, "serve", "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0")
	cmd.Dir = t.TempDir()
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			cmd.Env = append(cmd.Env, strings.TrimSpace(line))
		}
	}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "STRIPE_WEBHOOK_SECRET") {
		t.Errorf("with the example as it is serve says %q, %v; want a refusal that names the setting", out, err)
	}
}

func TestUnitsAreValid(t *testing.T) {
	t.Parallel()
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skipf("%s cannot be shown here: no systemd-analyze", t.Name())
	}
	b, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"verify"}
	for _, name := range []string{"hookkeeper.service", "hookkeeper.socket", "hookkeeper-operator.socket"} {
		text, err := os.ReadFile(filepath.Join("..", "packaging", name))
		if err != nil {
			t.Fatal(err)
		}
		// It looks whether the program is there.
		here := strings.ReplaceAll(string(text), "/usr/local/bin/hookkeeper", b.release)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(here), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.CommandContext(t.Context(), verify, args...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "hookkeeper") {
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
	if err != nil {
		t.Logf("systemd-analyze verify: %v\n%s", err, out) // other units of this machine may be at fault
	}
}
