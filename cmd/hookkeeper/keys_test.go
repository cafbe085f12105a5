package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/jackc/pgx/v5"
)

// vaultToken is the operator's token of these tests.
const vaultToken = "token-0123456789abcdef"

// vaultEnv is a shop and billing, encrypted with those keys.
func vaultEnv(database string, keys ...byte) map[string]string {
	env := map[string]string{"HOOKKEEPER_DATABASE": database, "HOOKKEEPER_OPERATOR_TOKEN": vaultToken,
		"STRIPE_WEBHOOK_SECRET": "whsec_0123456789abcdef0123", "HOOKKEEPER_BILLING": "on",
		"TOSS_SECRET_KEY": "test_gsk_0123456789abcdef", "TOSS_CLIENT_KEY": "test_gck_0123456789abcdef",
		"TOSS_API_BASE": "http://127.0.0.1:1", "TOSS_SDK_URL": "http://127.0.0.1:1/v2/standard"}
	var all []string
	for _, n := range keys {
		all = append(all, base64.StdEncoding.EncodeToString(hooktest.EncryptionKey(n)))
	}
	if len(all) > 0 {
		env["HOOKKEEPER_ENCRYPTION_KEY"] = strings.Join(all, ",")
	}
	return env
}

// trade has a server take events, a refused delivery and an order that hold the
// canaries, and stops it when then has looked at it.
func trade(t *testing.T, env map[string]string, round string, then func(s *serving)) {
	t.Helper()
	s := serve(t, env)
	c := hooktest.Canaries()
	set := []string{"--set", "data.object.id=cus_" + round, "--set", "data.object.email=" + c[1], "--set", "data.object.name=" + c[2] + " " + c[0]}
	for _, more := range [][]string{nil, {"--scenario", "wrong-secret"}} {
		args := append(append([]string{"send", "stripe", "customer.created", "--to", s.public, "--id", "evt_" + round}, set...), more...)
		if got := call(t, env, args...); got.code != 0 {
			t.Fatalf("send: %s%s", got.stdout, got.stderr)
		}
	}
	if round == "one" {
		got := call(t, env, "products", "add", "meetup", "--name", "x", "--price", "15000", "--one-each", "--operator", s.operator)
		if got.code != 0 {
			t.Fatalf("products add: %s%s", got.stdout, got.stderr)
		}
	}
	if code := order(t, s, c[1]); code != http.StatusOK && code != http.StatusCreated {
		t.Fatalf("begin a purchase: %d", code)
	}
	within(t, func() bool {
		got := call(t, env, "events", "list", "--operator", s.operator, "--json", "--state", "done")
		return strings.Contains(got.stdout, "evt_"+round)
	})
	then(s)
	if code := s.stop(); code != 0 {
		t.Fatalf("serve ended with %d: %s", code, s.log)
	}
	if found := hooktest.ShownCanaries([]byte(s.log.String())); len(found) > 0 {
		t.Errorf("the log shows %v", found)
	}
}

// order begins a purchase for a buyer.
func order(t *testing.T, s *serving, buyer string) int {
	t.Helper()
	body, err := json.Marshal(map[string]string{"product": "meetup", "buyer": buyer})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.operator+"/api/v1/checkouts", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+vaultToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// filesShow gives the canaries in all files of a folder.
func filesShow(t *testing.T, folder string) (found []string) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, canary := range hooktest.ShownCanaries(data) {
			found = append(found, f.Name()+": "+canary)
		}
	}
	return found
}

// tablesShow gives the canaries in all rows of all tables, as text.
func tablesShow(t *testing.T, url string) (found []string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), `SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'hookkeeper' AND c.relkind IN ('r', 'p') AND NOT c.relispartition`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		var text string
		if err := conn.QueryRow(t.Context(), `SELECT coalesce(string_agg(r::text, ' '), '') FROM `+table+` r`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		for _, canary := range hooktest.ShownCanaries([]byte(text)) {
			found = append(found, table+": "+canary)
		}
	}
	return found
}

// TestNothingPersonalIsAtRest: what came in plainly is sealed by a command, what
// comes in afterwards is never plain, and all of it is read as it came.
func TestNothingPersonalIsAtRest(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		folder := t.TempDir()
		atRest(t, "sqlite:"+filepath.Join(folder, "hook.db"), func() []string { return filesShow(t, folder) })
	})
	t.Run("postgres", func(t *testing.T) {
		url := pgtest.Database(t)
		atRest(t, url, func() []string { return tablesShow(t, url) })
	})
}

func atRest(t *testing.T, database string, shows func() []string) {
	trade(t, vaultEnv(database), "one", func(*serving) {})
	if found := shows(); len(found) < len(hooktest.Canaries()) {
		t.Errorf("without encryption only %v is shown: this test could not fail", found)
	}
	env := vaultEnv(database, 1)
	got := call(t, env, "keys", "seal", "--database", database)
	if got.code != 0 || !strings.Contains(got.stdout, "sealed") {
		t.Fatalf("keys seal: exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
	if found := shows(); len(found) > 0 {
		t.Errorf("after keys seal the database shows %v", found)
	}
	trade(t, env, "two", func(s *serving) {
		if found := shows(); len(found) > 0 {
			t.Errorf("while it is worked the encrypted database shows %v", found)
		}
		list := call(t, env, "events", "export", "--operator", s.operator)
		for _, key := range []string{"evt_one", "evt_two"} {
			if !strings.Contains(list.stdout, key) {
				t.Errorf("%s is not in the export: %s%s", key, list.stdout, list.stderr)
			}
		}
		var page struct{ Orders []struct{ Buyer string } }
		askAs(t, vaultToken, s.operator+"/api/v1/orders", &page)
		if want := hooktest.Canaries()[1]; len(page.Orders) != 2 || page.Orders[0].Buyer != want || page.Orders[1].Buyer != want {
			t.Errorf("orders: %+v", page)
		}
		got := call(t, env, "keys", "seal", "--operator", s.operator, "--json")
		if got.code != 0 || !strings.Contains(got.stdout, `"sealed":0`) {
			t.Errorf("keys seal again: exit code %d: %s%s", got.code, got.stdout, got.stderr)
		}
	})
	if found := shows(); len(found) > 0 {
		t.Errorf("with encryption on the database shows %v", found)
	}
}

func TestKeysCommands(t *testing.T) {
	t.Parallel()
	database := "sqlite:" + filepath.Join(t.TempDir(), "hook.db")
	plain, one, both, two := vaultEnv(database), vaultEnv(database, 1), vaultEnv(database, 2, 1), vaultEnv(database, 2)
	if got := call(t, plain, "migrate", "up"); got.code != 0 {
		t.Fatalf("migrate up: %s", got.stderr)
	}
	for _, step := range []struct {
		env  map[string]string
		args string
		code int
		says string
	}{
		{plain, "keys list", 0, "nothing is encrypted"},
		{plain, "keys rotate", exitFailed, "set HOOKKEEPER_ENCRYPTION_KEY first"},
		{one, "keys rotate", 0, "data key 2 begun"},
		{plain, "keys rotate", exitFailed, "the database is encrypted"},
		{plain, "keys list", 0, "not configured here"},
		{plain, "events list", 0, ""}, // all but bodies can be looked at
		{two, "keys rotate", exitFailed, "give the other key too"},
		{both, "keys rotate", 0, "data key 3 begun"},
		{two, "keys list", 0, "seals"},
		{one, "keys list", exitFailed, "give the other key too"},
	} {
		got := call(t, step.env, append(strings.Fields(step.args), "--database", database)...)
		if got.code != step.code || !strings.Contains(got.stdout+got.stderr, step.says) || strings.Count(got.stderr, "\n") > 1 {
			t.Errorf("%s: exit code %d, want %d and %q: %s%s", step.args, got.code, step.code, step.says, got.stdout, got.stderr)
		}
		for _, n := range []byte{1, 2} {
			if strings.Contains(got.stdout+got.stderr, base64.StdEncoding.EncodeToString(hooktest.EncryptionKey(n))) {
				t.Errorf("%s shows a key", step.args)
			}
		}
	}
	got := call(t, plain, "serve", "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0")
	if got.code != exitFailed || !strings.Contains(got.stderr, "the database is encrypted: set HOOKKEEPER_ENCRYPTION_KEY") ||
		strings.Contains(got.stderr, "msg=serving") {
		t.Errorf("serve without its key: exit code %d: %s", got.code, got.stderr)
	}
	doctor := func(env map[string]string, state string) {
		t.Helper()
		got := call(t, env, "doctor", "--json")
		if want := fmt.Sprintf(`"check":"encryption","state":%q`, state); !strings.Contains(got.stdout, want) {
			t.Errorf("doctor: want %s in %s%s", want, got.stdout, got.stderr)
		}
	}
	doctor(plain, "failed")
	doctor(one, "failed")
	doctor(two, "ok")
	if err := os.WriteFile(filepath.Join(filepath.Dir(sqlitePath(database)), ".env"), []byte("KEY="+two["HOOKKEEPER_ENCRYPTION_KEY"]), 0o600); err != nil {
		t.Fatal(err)
	}
	doctor(two, "warning")
}

func TestEncryptionSettings(t *testing.T) {
	t.Parallel()
	key := base64.StdEncoding.EncodeToString(hooktest.EncryptionKey(1))
	env := map[string]string{"GITHUB_WEBHOOK_SECRET": "0123456789abcdef0123", "THE_KEY": key}
	config := file(t, "c.yaml", "encryption: {keys: ['env:THE_KEY']}")
	if got := call(t, env, "serve", "--print-config", "--config", config); got.code != 0 ||
		!strings.Contains(got.stdout, "encryption:\n  keys:\n  - '********'") && !strings.Contains(got.stdout, "********") ||
		strings.Contains(got.stdout, key) {
		t.Errorf("print-config: %s%s", got.stdout, got.stderr)
	}
	for _, bad := range []string{"short", "changeme", base64.StdEncoding.EncodeToString(make([]byte, 32)), key + "," + key, ""} {
		env["HOOKKEEPER_ENCRYPTION_KEY"] = bad
		got := call(t, env, "serve", "--print-config")
		if got.code != exitFailed || !strings.Contains(got.stderr, "encryption key") || bad != "" && strings.Contains(got.stderr, bad) {
			t.Errorf("key %q: exit code %d: %s%s", bad, got.code, got.stdout, got.stderr)
		}
	}
}
