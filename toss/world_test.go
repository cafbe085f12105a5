package toss_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
	"github.com/hookkeeper/hookkeeper/toss"
	"github.com/hookkeeper/hookkeeper/tosstest"
)

const (
	secretKey     = "test_gsk_hookkeepertests"
	clientKey     = "test_gck_hookkeepertests"
	operatorToken = "operator-token-for-tests"
	secondToken   = "second-operators-token-for-tests"
)

// engine opens the store of one node; called again it opens another node's on
// the same database, where the engine can do that.
type engine struct {
	name string
	open func(t *testing.T) func() hook.Store
}

// engines are the stores that every test of money and seats runs on.
func engines() []engine {
	return []engine{onSQLite(), {"postgres", func(t *testing.T) func() hook.Store {
		url := pgtest.Database(t)
		return func() hook.Store {
			store, err := postgres.Open(t.Context(), url, postgres.Options{MaxConns: 8, Tables: []hook.Tables{toss.Tables()}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			return store
		}
	}}}
}

func onSQLite(keys ...[]byte) engine {
	return engine{"sqlite", func(t *testing.T) func() hook.Store {
		path := filepath.Join(t.TempDir(), "hook.db")
		var store *sqlite.Store
		return func() hook.Store {
			if store == nil {
				var err error
				if store, err = sqlite.Open(path, sqlite.Options{Tables: []hook.Tables{toss.Tables()},
					EffectBudget: 10 * time.Second, EncryptionKeys: keys}); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = store.Close() })
			}
			return store
		}
	}}
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// onEach runs a test on every engine.
func onEach(t *testing.T, test func(t *testing.T, e engine)) {
	t.Helper()
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) { test(t, e) })
	}
}

// world is a shop with its Toss: the simulator behind real HTTP, and so many
// nodes of hookkeeper on one database.
type world struct {
	*testing.T
	sim    *tosstest.Sim
	toss   *httptest.Server
	nodes  []*node
	offset atomic.Int64 // of the desks' clocks
}

type node struct {
	desk   *toss.Desk
	store  hook.Store
	keeper *hookkeeper.Keeper
	public *httptest.Server
	admin  *httptest.Server
}

// setup is how a world differs from the usual one.
type setup struct {
	nodes   int
	config  func(*toss.Config)
	applier func(hook.Applier) hook.Applier
	mutants []string
	idle    bool // no workers: what is recorded stays
	second  bool // a second person for money
}

func newWorld(t *testing.T, e engine, s setup) *world {
	t.Helper()
	w := &world{T: t}
	var front atomic.Pointer[http.Handler]
	w.sim = tosstest.New(tosstest.Options{SecretKey: secretKey, TimeScale: -1, Receiver: http.HandlerFunc(
		func(rw http.ResponseWriter, r *http.Request) {
			r.RemoteAddr = "13.124.18.147:443" // one of Toss's: hints from it have no limit
			r.URL.Path, r.RequestURI = "/hooks/toss", "/hooks/toss"
			(*front.Load()).ServeHTTP(rw, r)
		})})
	w.toss = httptest.NewServer(w.sim)
	t.Cleanup(func() { w.sim.Close(); w.toss.Close() })
	open := e.open(t)
	for range max(s.nodes, 1) {
		w.nodes = append(w.nodes, w.newNode(open(), s))
	}
	var next atomic.Int64
	var h http.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.nodes[int(next.Add(1))%len(w.nodes)].keeper.ServeHTTP(rw, r)
	})
	front.Store(&h)
	return w
}

func (w *world) newNode(store hook.Store, s setup) *node {
	w.Helper()
	n := &node{store: store}
	cfg := toss.Config{
		SecretKey: secretKey, ClientKey: clientKey, APIBase: w.toss.URL, SDKURL: w.toss.URL + "/v2/standard",
		Applier: store, Viewer: store, DepositSecret: source.TossDepositSecret,
		Record: func(ctx context.Context, d hook.Delivery, id hook.Identity) (hook.Receipt, error) {
			return n.keeper.Record(ctx, d, id)
		},
		Now:     func() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) },
		Support: "help@shop.example", HintGap: 20 * time.Millisecond, MaxAsks: 1000,
		Logger: slog.New(slog.DiscardHandler),
	}
	if s.applier != nil {
		cfg.Applier = s.applier(store)
	}
	if s.config != nil {
		s.config(&cfg)
	}
	var err error
	if n.desk, err = toss.New(toss.WithMutant(cfg, s.mutants...)); err != nil {
		w.Fatal(err)
	}
	n.keeper, err = hookkeeper.New(hookkeeper.Config{
		Store: store, Sources: []hook.Source{source.Toss("toss")}, Departments: []hook.Department{without(n.desk.Department())},
		Tokens: []string{operatorToken, secondToken}, SecondPerson: s.second, BackoffBase: 20 * time.Millisecond, BackoffMax: time.Second,
	})
	if err != nil {
		w.Fatal(err)
	}
	n.public, n.admin = httptest.NewServer(n.keeper), httptest.NewServer(n.keeper.Operator())
	w.Cleanup(func() { n.public.Close(); n.admin.Close() })
	if !s.idle {
		w.run(n)
	}
	return n
}

// without leaves the duties to the tests, which call them when it is their time.
func without(d hook.Department) hook.Department {
	d.Duties = nil
	return d
}

func (w *world) run(n *node) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.keeper.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
		}
	}
	w.Cleanup(stop)
	return stop
}

func (w *world) desk() *toss.Desk { return w.nodes[0].desk }

// later moves the clock of the shop and of Toss.
func (w *world) later(d time.Duration) {
	w.offset.Add(int64(d))
	w.sim.Advance(d)
}

func (w *world) product(id string, price int64, seats int64, oneEach bool) {
	w.Helper()
	p := toss.Product{ID: id, Name: "모임 " + id, Price: price, OneEach: oneEach}
	if seats > 0 {
		p.Seats = &seats
	}
	if _, err := w.desk().AddProduct(w.Context(), p); err != nil {
		w.Fatal(err)
	}
}

// buyer is a browser on one purchase.
type buyer struct {
	w      *world
	n      *node
	client *http.Client
	cid    string
	order  string
	amount int64
}

var bootText = regexp.MustCompile(`(?s)<script type="application/json" id="hk-boot">(.*?)</script>`)

// visit opens the page of a product.
func (w *world) visit(product string) *buyer {
	w.Helper()
	b, err := w.tryVisit(product, 0)
	if err != nil {
		w.Fatal(err)
	}
	return b
}

func (w *world) tryVisit(product string, n int) (*buyer, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	b := &buyer{w: w, n: w.nodes[n%len(w.nodes)], client: &http.Client{Jar: jar}}
	for try := 0; ; try++ {
		resp, page, err := b.get("/checkout/p/" + product)
		switch {
		case err != nil:
			return nil, err
		case resp.StatusCode == http.StatusServiceUnavailable && try < 5:
			continue // a busy machine: the page says to try again, and a buyer does
		case resp.StatusCode != http.StatusOK:
			return nil, fmt.Errorf("page of %s: %s", product, resp.Status)
		}
		return b, b.read(page)
	}
}

// follow opens a purchase that an application has begun.
func (w *world) follow(cid string) *buyer {
	w.Helper()
	b := &buyer{w: w, n: w.nodes[0], client: &http.Client{}}
	_, page, err := b.get("/checkout/" + cid)
	if err == nil {
		err = b.read(page)
	}
	if err != nil {
		w.Fatal(err)
	}
	return b
}

// read takes the boot object out of a page.
func (b *buyer) read(page string) error {
	m := bootText.FindStringSubmatch(page)
	if m == nil {
		return fmt.Errorf("no boot object in the page: %.300s", page)
	}
	var boot struct {
		CID   string
		Order struct {
			OrderID string
			Amount  int64
		}
	}
	if err := json.Unmarshal([]byte(m[1]), &boot); err != nil {
		return err
	}
	b.cid, b.order, b.amount = boot.CID, boot.Order.OrderID, boot.Order.Amount
	return nil
}

func (b *buyer) get(path string) (*http.Response, string, error) {
	resp, err := b.client.Get(b.n.public.URL + path)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// post calls the JSON API: the status and the answer.
func (b *buyer) post(path string, body any, headers ...string) (int, map[string]any, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	r, err := http.NewRequest("POST", b.n.public.URL+"/checkout/"+b.cid+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer := map[string]any{}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil && !errors.Is(err, io.EOF) {
		return resp.StatusCode, nil, err
	}
	return resp.StatusCode, answer, nil
}

// prepare is the buyer who presses pay: empty, or the code of the refusal.
func (b *buyer) prepare() string {
	status, answer, err := b.post("/orders/"+b.order+"/prepare", map[string]any{})
	if err != nil {
		return err.Error()
	}
	if status == 200 {
		return ""
	}
	return fmt.Sprint(answer["code"])
}

// again takes a new order, as a page does whose widget failed.
func (b *buyer) again(gen int, reason string) (int, string) {
	b.w.Helper()
	status, answer, err := b.post("/orders", map[string]any{"supersedes": b.order, "reason": reason, "gen": gen},
		"Idempotency-Key", fmt.Sprintf("%s:%d:x", b.cid, gen))
	if err != nil {
		b.w.Fatal(err)
	}
	if status == 201 {
		b.order = fmt.Sprint(answer["orderId"])
		b.amount = int64(answer["amount"].(float64))
	}
	return status, fmt.Sprint(answer["code"])
}

// authorize pays in the window, and gives the key and where the window sends the
// buyer; the buyer has not gone there yet.
func (b *buyer) authorize(method string) (key, back string) {
	b.w.Helper()
	key, back, err := b.sim().Pay(tosstest.Order{
		OrderID: b.order, OrderName: "모임", Amount: tosstest.Amount{Value: b.amount}, Method: method, CustomerKey: "ANONYMOUS",
		SuccessURL: b.n.public.URL + "/checkout/" + b.cid + "/success", FailURL: b.n.public.URL + "/checkout/" + b.cid + "/fail",
	})
	if err != nil {
		b.w.Error(err)
	}
	return key, back
}

func (b *buyer) sim() *tosstest.Sim { return b.w.sim }

// land goes where the window sent the buyer, and reads the receipt.
func (b *buyer) land(back string) (status int, page string) {
	b.w.Helper()
	u, err := url.Parse(back)
	if err != nil {
		b.w.Fatal(err)
	}
	resp, page, err := b.get(u.RequestURI())
	if err != nil {
		b.w.Error(err)
		return 0, ""
	}
	return resp.StatusCode, page
}

// buy is the whole way of a lucky buyer.
func (b *buyer) buy() (key string) {
	b.w.Helper()
	if code := b.prepare(); code != "" {
		b.w.Fatalf("prepare: %s", code)
	}
	key, back := b.authorize("")
	if status, page := b.land(back); status != 200 || !strings.Contains(page, `data-hk-result="paid"`) {
		b.w.Fatalf("receipt: %d %s", status, page)
	}
	return key
}

// op calls the operators' API.
func (w *world) op(method, path string, body any, into any) int {
	w.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		w.Fatal(err)
	}
	status, raw := w.admin(method, "/api/v1/"+path, text)
	if into != nil && status < 300 {
		if err := json.Unmarshal(raw, into); err != nil {
			w.Fatalf("%s %s: %d %s: %v", method, path, status, raw, err)
		}
	}
	return status
}

// admin asks the operators' listener of a node.
func (w *world) admin(method, path string, body []byte) (status int, text []byte) {
	w.Helper()
	r, err := http.NewRequest(method, w.nodes[0].admin.URL+path, bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+operatorToken)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err = io.ReadAll(resp.Body); err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, text
}

func (w *world) orderInfo(id string) toss.OrderDetail {
	w.Helper()
	var o toss.OrderDetail
	if status := w.op("GET", "orders/"+id, nil, &o); status != 200 {
		w.Fatalf("order %s: %d", id, status)
	}
	return o
}

// orders gives all orders of a product.
func (w *world) orders(product string) (all []toss.OrderInfo) {
	w.Helper()
	for cursor := ""; ; {
		var page struct {
			Orders []toss.OrderInfo
			Next   string
		}
		if status := w.op("GET", "orders?limit=100&product="+product+"&cursor="+cursor, nil, &page); status != 200 {
			w.Fatalf("orders: %d", status)
		}
		all = append(all, page.Orders...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// metric gives one number of a node's /metrics, by all values of its labels; 0 if
// it is not there.
func (w *world) metric(name string, values ...string) float64 {
	w.Helper()
	status, text := w.admin("GET", "/metrics", nil)
	if status != 200 {
		w.Fatalf("metrics: %d %s", status, text)
	}
	for line := range strings.Lines(string(text)) {
		labels, number, _ := strings.Cut(strings.TrimPrefix(line, name+"{"), "} ")
		if !strings.HasPrefix(line, name+"{") || strings.Count(labels, "=") != len(values) {
			continue
		}
		fits := true
		for _, v := range values {
			fits = fits && strings.Contains(labels, `"`+v+`"`)
		}
		if n, err := strconv.ParseFloat(strings.TrimSpace(number), 64); fits && err == nil {
			return n
		}
	}
	return 0
}

// until waits for something that other goroutines bring about.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-end.C:
			w.Fatalf("not within a minute: %s", what)
		case <-look.C:
		}
	}
}

// state waits for an order to come to a state.
func (w *world) state(id string, want toss.OrderState) {
	w.Helper()
	got := toss.OrderState("")
	w.until(fmt.Sprintf("order %s is %s", id, want), func() bool {
		got = w.orderInfo(id).State
		return got == want
	})
}

// settle lets deliveries arrive, jobs end and refunds go out.
func (w *world) settle() {
	w.Helper()
	if err := w.sim.Flush(w.Context()); err != nil {
		w.Fatal(err)
	}
	w.idle()
	if err := w.desk().WorkRefunds(w.Context()); err != nil {
		w.Error(err)
	}
	if err := w.sim.Flush(w.Context()); err != nil {
		w.Fatal(err)
	}
	w.idle()
}

// idle waits until no job is open.
func (w *world) idle() {
	w.Helper()
	w.until("no job is open", func() bool {
		counts, err := w.nodes[0].store.Counts(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		for _, states := range counts.Jobs {
			for state, n := range states {
				if n > 0 && !state.Final() {
					return false
				}
			}
		}
		return true
	})
}

// captures counts the calls that took money, and cancels those that gave some back.
func (w *world) calls(api string) (all, changed int) {
	for _, c := range w.sim.Calls() {
		if c.API == api {
			all++
			if c.Changed {
				changed++
			}
		}
	}
	return all, changed
}
