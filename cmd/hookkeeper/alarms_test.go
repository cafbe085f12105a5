package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hookkeeper/hookkeeper/hook"
)

const slackURL = "slack://hook:T0000AAAA-B0000BBBB-s3cr3tWordOfSlack0000000@webhook"

func TestAlarmsConfiguration(t *testing.T) {
	t.Parallel()
	env := map[string]string{"GITHUB_WEBHOOK_SECRET": "a-secret-for-tests-only", "SLACK": slackURL}
	for text, want := range map[string]string{
		"alarms: {too: [x]}":                           `unknown key "too" in alarms, the nearest known one is "to"`,
		"alarms: {to: x}":                              "alarms.to: want a list",
		"alarms: {to: [env:NOT_SET]}":                  "the environment variable NOT_SET is not set",
		"alarms: {to: ['nothing']}":                    "alarms.to: number 1: channel: want a URL",
		"alarms: {to: ['smtp://mail/?from=a@b.kr']}":   "it needs to=ADDRESS",
		"alarms: {to: ['slack://s3cr3tWord@webhook']}": "alarms.to: number 1: channel slack: ",
		"alarms: {language: fr}":                       `language: want ko or en, not "fr"`,
		"alarms: {every: 0}":                           "alarms.every: must be longer than zero",
		"alarms: {bad_signatures: 0}":                  "alarms.bad_signatures: want a whole number",
		"alarms: {disk: much}":                         "alarms.disk: want bytes",
		"alarms: {dashboard: ops.example}":             "dashboard: want a URL",
	} {
		refuses(t, env, text, want, "s3cr3t")
	}
	text := "alarms: {to: [env:SLACK, 'generic+https://h.example/s3cr3tPath', 'generic+http://h.example/other'], disk: 2GiB, off: [old_secret]}"
	got := call(t, env, "serve", "--print-config", "--config", file(t, "hookkeeper.yaml", text))
	if got.code != 0 || strings.Contains(got.stdout, "s3cr3t") || !strings.Contains(got.stdout, "disk: 2147483648") || !strings.Contains(got.stdout, "oldest_job: 10m") {
		t.Errorf("exit %d: %s%s", got.code, got.stdout, got.stderr)
	}
	c, p := loadConfig(file(t, "hookkeeper.yaml", text), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	var names []string
	for _, ch := range c.alarmConfig(&p).Channels {
		names = append(names, ch.Name)
	}
	if strings.Join(names, " ") != "slack generic generic-2" || len(p) > 0 {
		t.Errorf("channels %v, %v", names, p)
	}
}

// TestAlarmsReachAWebhook with their key, so that the far side can refuse a repeat.
func TestAlarmsReachAWebhook(t *testing.T) {
	t.Parallel()
	got := make(chan map[string]string, 1)
	far := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		m := map[string]string{}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("body %q: %v", body, err)
		}
		got <- m
	}))
	defer far.Close()
	sender, kind, err := openAlarmOutlet("generic+" + far.URL + "/hooks/secret-path")
	if err != nil || kind != "generic" {
		t.Fatalf("open: %q, %v", kind, err)
	}
	n := hook.AlarmNotice{Key: "al_1/alarm.raised", Kind: "alarm.raised", Title: "hookkeeper: x", Body: "do y"}
	if err := sender.SendAlarm(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if m := <-got; m["key"] != n.Key || m["kind"] != n.Kind || m["title"] != n.Title || m["message"] != n.Body {
		t.Errorf("got %v", m)
	}
	far.Close()
	if err := sender.SendAlarm(t.Context(), n); err == nil || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("a far side that is gone: %v", err)
	}
}
