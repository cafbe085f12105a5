package channel_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripe/channel"
)

func notice() stripe.Notice {
	return stripe.Notice{Key: "nt_1", Kind: "invoice.paid", UserID: "usr_1", Email: "minji@example.com",
		Title: "결제가 완료되었습니다", Body: "9,900 KRW 결제가 완료되었습니다."}
}

// mailbox is a mail server that takes what comes, or refuses all recipients.
func mailbox(t *testing.T, refuse bool) (address string, mails <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got := make(chan string, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveMail(conn, refuse, got)
		}
	}()
	return l.Addr().String(), got
}

func serveMail(conn net.Conn, refuse bool, got chan<- string) {
	defer conn.Close()
	r := textproto.NewReader(bufio.NewReader(conn))
	fmt.Fprint(conn, "220 test\r\n")
	var to string
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		switch verb, rest, _ := strings.Cut(line, " "); strings.ToUpper(verb) {
		case "RCPT":
			if refuse {
				fmt.Fprint(conn, "550 no such mailbox at secret-host.example\r\n")
				continue
			}
			to = rest
			fmt.Fprint(conn, "250 ok\r\n")
		case "DATA":
			fmt.Fprint(conn, "354 go on\r\n")
			lines, err := r.ReadDotLines()
			if err != nil {
				return
			}
			got <- to + "\n" + strings.Join(lines, "\n")
			fmt.Fprint(conn, "250 ok\r\n")
		case "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

// TestMailGoesToTheCustomer: or to the address in the URL.
func TestMailGoesToTheCustomer(t *testing.T) {
	t.Parallel()
	address, mails := mailbox(t, false)
	for query, want := range map[string]string{"": "<minji@example.com>", "&to=office@example.com": "<office@example.com>"} {
		o, err := channel.Open("smtp://" + address + "/?from=shop@example.com&starttls=no" + query)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Send(t.Context(), notice()); err != nil {
			t.Fatal(err)
		}
		got := <-mails
		subject := ""
		for line := range strings.Lines(got) {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "Subject: "); ok {
				subject, _ = new(mime.WordDecoder).DecodeHeader(rest)
			}
		}
		if !strings.HasPrefix(got, "TO:"+want) || subject != notice().Title || !strings.Contains(got, notice().Body) {
			t.Errorf("got subject %q in %s, want it for %s", subject, got, want)
		}
	}
}

// TestStrangeAddressesGetNothing: the address comes from outside.
func TestStrangeAddressesGetNothing(t *testing.T) {
	t.Parallel()
	address, mails := mailbox(t, false)
	o, err := channel.Open("smtp://" + address + "/?from=shop@example.com&starttls=no")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"a@example.com,b@example.com", "a@example.com\r\nBcc: b@example.com", "A <a@example.com>", "nobody", "a b@example.com"} {
		n := notice()
		n.Email = bad
		if err := o.Send(t.Context(), n); !hook.Permanent(err) {
			t.Errorf("address %q: got %v, want it refused for good", bad, err)
		}
	}
	n := notice()
	n.Email = ""
	if err := o.Send(t.Context(), n); !errors.Is(err, hook.ErrNotYet) {
		t.Errorf("no address: got %v, want it to wait", err)
	}
	n.Email, n.Title = "a@example.com", "one\r\nBcc: b@example.com"
	if err := o.Send(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(<-mails) {
		if strings.HasPrefix(line, "Bcc:") {
			t.Error("a title wrote a header of its own")
		}
	}
	if len(mails) != 0 {
		t.Error("a strange address got a mail")
	}
}

// TestWebhookGetsTheWholeNotice: with its key, so that the far side can refuse a
// repeat.
func TestWebhookGetsTheWholeNotice(t *testing.T) {
	t.Parallel()
	got := make(chan map[string]string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m map[string]string
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("body %q: %v", body, err)
		}
		got <- m
	}))
	defer server.Close()
	o, err := channel.Open("generic+" + server.URL + "/hooks/s3cret-path?token=s3cret-token")
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Send(t.Context(), notice()); err != nil {
		t.Fatal(err)
	}
	m := <-got
	if m["key"] != "nt_1" || m["title"] != notice().Title || m["message"] != notice().Body || m["kind"] != "invoice.paid" || m["user_id"] != "usr_1" {
		t.Errorf("got %v", m)
	}
}

// TestErrorsHoldNothingOfTheURL: attempts keep their causes, operators read them.
func TestErrorsHoldNothingOfTheURL(t *testing.T) {
	t.Parallel()
	refusing, _ := mailbox(t, true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer server.Close()
	for _, u := range []string{
		"generic+" + server.URL + "/hooks/s3cret-path?token=s3cret-token",
		"generic+http://127.0.0.1:1/hooks/s3cret-path?token=s3cret-token",
		"smtp://s3cret-user:s3cret-pass@127.0.0.1:1/?from=a@example.com",
		"smtp://" + refusing + "/?from=a@example.com&starttls=no",
	} {
		o, err := channel.Open(u)
		if err != nil {
			t.Fatal(err)
		}
		err = o.Send(t.Context(), notice())
		if err == nil {
			t.Errorf("%s: no error", u)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "://") || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("got %q, want nothing of the URL", err)
		}
	}
	for _, u := range []string{"", "nothing", "smtp://host", "slack://s3cret", "discord://s3cret-token", "logger://", "s3cret://x"} {
		if _, err := channel.Open(u); err == nil || strings.Contains(err.Error(), "s3cret-") {
			t.Errorf("%q: got %v, want an error without what is in it", u, err)
		}
	}
	for _, u := range []string{"slack://hook:WNA3PBYV6-F20DUQND3RQ-Webc4MAvoacrpPakR8phF0zi@webhook", "discord://s3cret-token@123456789"} {
		if _, err := channel.Open(u); err != nil {
			t.Errorf("a URL of the form in the manual: %v", err)
		}
	}
}

// TestAServerThatHangsIsGivenUp: and too many of them are not asked any more.
func TestAServerThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	o, err := channel.Open("generic+" + server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for range 16 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if err := o.Send(ctx, notice()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		cancel()
	}
	if err := o.Send(t.Context(), notice()); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the seventeenth: got %v, want it refused at once", err)
	}
}
