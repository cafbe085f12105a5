package toss

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
)

// Names that are stored with events and jobs: a change needs a migration.
const (
	sourceCheckout  = "checkout"
	typeAuthorized  = "order.authorized"
	routeConfirm    = "toss-confirm"
	routeSettle     = "toss-settle"
	confirmAttempts = 60
)

// Desk is the Toss department: it sells, confirms, settles and gives back. It
// is safe for concurrent use and starts nothing by itself.
type Desk struct {
	Shop // what is sold

	cfg      Config
	client   *Client
	log      *slog.Logger
	mode     string // hook.ModeTest or hook.ModeLive, by the secret key
	key      []byte // of cookies and tokens: the same on every node
	texts    map[string]map[string]string
	pages    *pageSet
	creating *brake // of new purchases, by address
	asking   *brake // of questions on account of hints
	told     *told  // what /metrics shows of this process
}

// New checks the configuration and returns all its problems joined. It opens
// nothing, starts nothing and asks nobody.
func New(cfg Config) (*Desk, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	transport, err := cfg.transport()
	if err != nil {
		return nil, err
	}
	texts, err := readTexts()
	if err != nil {
		return nil, err
	}
	pages, err := readPages()
	if err != nil {
		return nil, err
	}
	mode, _ := keyKind(cfg.SecretKey)
	mac := hmac.New(sha256.New, []byte(cfg.SecretKey))
	mac.Write([]byte("hookkeeper checkout session"))
	told := &told{}
	return &Desk{
		Shop: Shop{Applier: cfg.Applier, Viewer: cfg.Viewer, Now: cfg.Now},
		cfg:  cfg, log: cfg.Logger, mode: mode, key: mac.Sum(nil), texts: texts, pages: pages, told: told,
		client: NewClient(ClientConfig{
			SecretKey: cfg.SecretKey, APIBase: cfg.APIBase, Timeout: cfg.ConfirmTimeout, Transport: transport,
			Told: func(op, outcome string) { told.calls.add(op, outcome) },
		}),
		creating: newBrake(cfg.MaxCheckouts, time.Minute, cfg.Now),
		asking:   newBrake(cfg.MaxAsks, time.Second, cfg.Now),
	}, nil
}

// Department is everything that the house needs of this one: tables, routes,
// pages, operations, duties and metrics.
func (d *Desk) Department() hook.Department {
	return hook.Department{
		Name:       "toss",
		Tables:     Tables(),
		Routes:     d.Routes(),
		Pages:      map[string]http.Handler{"/checkout/": d.Pages()},
		Operations: d.operations(),
		Alarms:     conditions(),
		Metrics:    d.metrics(),
		Erase:      d.erase,
		Duties: []hook.Duty{
			{Name: "toss-sweep", Every: 5 * time.Second, Run: d.Sweep},
			{Name: "toss-refunds", Every: 2 * time.Second, Run: d.WorkRefunds},
			{Name: "toss-reconcile", Every: 5 * time.Minute, Run: func(ctx context.Context) error {
				_, err := d.Reconcile(ctx)
				return err
			}},
		},
	}
}

// Routes are the two handlers: one confirms what our success page recorded, one
// takes the hints of Toss.
func (d *Desk) Routes() []hook.Route {
	preview := &hook.Preview{Tables: shownTables(), Hidden: []string{"secret", "receiver"}}
	return []hook.Route{
		{Name: routeConfirm, Source: sourceCheckout, Types: typeAuthorized, Trust: []hook.Trust{hook.TrustInternal},
			Handler: hook.HandlerFunc(d.handleAuthorized), MaxAttempts: confirmAttempts, Preview: preview},
		{Name: routeSettle, Source: d.cfg.Source, Types: "PAYMENT_STATUS_CHANGED,DEPOSIT_CALLBACK,CANCEL_STATUS_CHANGED",
			Handler: hook.HandlerFunc(d.handleHint), MaxAttempts: confirmAttempts, Preview: preview},
	}
}

// logOf is the log, except in a preview, which leaves no trace in it either.
func (d *Desk) logOf(ctx context.Context) *slog.Logger {
	if hook.Previewing(ctx) {
		return slog.New(slog.DiscardHandler)
	}
	return d.log
}

// now is the time to the microsecond, as the store keeps it.
func (d *Desk) now() time.Time { return d.cfg.Now().UTC().Truncate(time.Microsecond) }

// alarm is the critical line for people: everything that is needed to help the
// buyer, nothing of a card, no secret.
func (d *Desk) alarm(what string, o *order, more ...any) {
	d.log.Error("alarm: "+what, append([]any{
		"order", o.ID, "checkout", o.Checkout, "product", o.Product, "state", string(o.State), "amount", o.Amount,
		"currency", o.Currency, "payment_key", o.PaymentKey, "toss_status", o.TossStatus,
		"captured", o.Captured, "refunded", o.Refunded, "attention", o.Attention,
	}, more...)...)
}
