package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
	"github.com/hookkeeper/hookkeeper/toss"
)

type productsCmd struct {
	Add   productsAddCmd   `cmd:"" help:"Put a product on sale."`
	List  productsListCmd  `cmd:"" help:"List the products."`
	Show  productsShowCmd  `cmd:"" help:"Show one product."`
	Close productsCloseCmd `cmd:"" help:"End the sale of a product; who holds a seat may still pay."`
}

type productsAddCmd struct {
	ID       string `arg:"" help:"Its name in addresses: a-z, 0-9, _ and -."`
	Name     string `required:"" help:"What buyers read." placeholder:"TEXT"`
	Price    int64  `required:"" help:"Whole won." placeholder:"WON"`
	Seats    int64  `help:"How many can be sold; default: no limit." placeholder:"N"`
	OneEach  bool   `help:"One for each buyer whom an application names."`
	OpensAt  string `help:"Not sold before: RFC 3339 or Unix seconds." placeholder:"TIME"`
	ClosesAt string `help:"Not sold from then on." placeholder:"TIME"`
	JSON     bool   `name:"json" help:"One JSON object."`
	operatorFlags
}

// Run keeps a new product.
func (cmd *productsAddCmd) Run(ctx context.Context, a *app) error {
	p := toss.Product{ID: cmd.ID, Name: cmd.Name, Price: cmd.Price, Currency: "KRW", OneEach: cmd.OneEach}
	if cmd.Seats < 0 {
		return usage("--seats %d: want 1 or more, or leave it out for no limit", cmd.Seats)
	}
	if cmd.Seats > 0 {
		p.Seats = &cmd.Seats
	}
	for _, t := range []struct {
		flag, value string
		into        **time.Time
	}{{"--opens-at", cmd.OpensAt, &p.OpensAt}, {"--closes-at", cmd.ClosesAt, &p.ClosesAt}} {
		if t.value == "" {
			continue
		}
		when, err := saleTime(t.flag, t.value)
		if err != nil {
			return err
		}
		*t.into = &when
	}
	return cmd.change(ctx, a, cmd.JSON, func(s shop) (*toss.Product, error) { return s.AddProduct(ctx, p) })
}

// saleTime reads a time that may lie in the future.
func saleTime(flag, s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	t, err := unixSeconds(s)
	if err != nil {
		return t, usage("%s %q: want RFC 3339, such as 2026-12-01T10:00:00+09:00, or Unix seconds", flag, s)
	}
	return t, nil
}

type productsListCmd struct {
	JSON bool `name:"json" help:"One JSON object a line."`
	operatorFlags
}

// Run lists the products.
func (cmd *productsListCmd) Run(ctx context.Context, a *app) error {
	s, done, err := cmd.shop(ctx, a, false)
	if err != nil {
		return err
	}
	all, err := s.Products(ctx)
	if err = done(err); err != nil {
		return err
	}
	if cmd.JSON {
		for _, p := range all {
			if err := printJSON(a.stdout, p); err != nil {
				return err
			}
		}
		return nil
	}
	return printProducts(a.stdout, all)
}

type productsShowCmd struct {
	ID   string `arg:"" help:"The product."`
	JSON bool   `name:"json" help:"One JSON object."`
	operatorFlags
}

// Run shows a product.
func (cmd *productsShowCmd) Run(ctx context.Context, a *app) error {
	s, done, err := cmd.shop(ctx, a, false)
	if err != nil {
		return err
	}
	p, err := s.Product(ctx, cmd.ID)
	if err = done(missing(cmd.ID, err)); err != nil {
		return err
	}
	return printProduct(a.stdout, p, cmd.JSON)
}

type productsCloseCmd struct {
	ID   string `arg:"" help:"The product."`
	JSON bool   `name:"json" help:"One JSON object."`
	operatorFlags
}

// Run ends a sale. A repeat changes nothing.
func (cmd *productsCloseCmd) Run(ctx context.Context, a *app) error {
	return cmd.change(ctx, a, cmd.JSON, func(s shop) (*toss.Product, error) {
		p, err := s.CloseProduct(ctx, cmd.ID)
		return p, missing(cmd.ID, err)
	})
}

func missing(id string, err error) error {
	if errors.Is(err, hook.ErrNotFound) {
		return fmt.Errorf("product %s: there is none: see hookkeeper products list", id)
	}
	return err
}

// shop is the catalogue, in a running hookkeeper or in the database itself.
type shop interface {
	AddProduct(ctx context.Context, p toss.Product) (*toss.Product, error)
	Products(ctx context.Context) ([]*toss.Product, error)
	Product(ctx context.Context, id string) (*toss.Product, error)
	CloseProduct(ctx context.Context, id string) (*toss.Product, error)
}

// change does one thing to the catalogue and shows the product.
func (f *operatorFlags) change(ctx context.Context, a *app, asJSON bool, do func(shop) (*toss.Product, error)) error {
	s, done, err := f.shop(ctx, a, true)
	if err != nil {
		return err
	}
	p, err := do(s)
	if err = done(err); err != nil {
		return err
	}
	return printProduct(a.stdout, p, asJSON)
}

// shop finds the catalogue as open finds the event log. A database that has none
// yet gets its tables with the first change.
func (f *operatorFlags) shop(ctx context.Context, a *app, write bool) (shop, func(error) error, error) {
	if f.Database == "" || !write {
		l, err := f.open(a, false)
		if err != nil {
			return nil, nil, err
		}
		if c, ok := l.Ledger.(*dev.Client); ok {
			return remoteShop{c}, l.done, nil
		}
		if v, ok := l.Ledger.(hook.Viewer); ok {
			return &toss.Shop{Viewer: v}, l.done, nil
		}
		if err := l.close(); err != nil {
			return nil, nil, err
		}
	}
	if f.Operator != "" {
		return nil, nil, usage("--operator and --database exclude each other")
	}
	var p problems
	c := config{Database: f.Database}
	if c.checkDatabase(&p); len(p) > 0 {
		return nil, nil, p[0]
	}
	keys, err := encryptionKeys(a.env)
	if err != nil {
		return nil, nil, err
	}
	store, err := engineOf(f.Database, keys...).open(ctx, storeOptions{tables: []hook.Tables{toss.Tables()}})
	if err != nil {
		return nil, nil, err
	}
	l := &ledger{store, store.Close}
	return &toss.Shop{Applier: store, Viewer: store}, l.done, nil
}

// remoteShop is the catalogue of a running hookkeeper.
type remoteShop struct{ c *dev.Client }

func (s remoteShop) AddProduct(ctx context.Context, p toss.Product) (*toss.Product, error) {
	var made toss.Product
	err := s.c.Post(ctx, "products", p, &made)
	return &made, err
}

func (s remoteShop) Products(ctx context.Context) ([]*toss.Product, error) {
	var page struct{ Products []*toss.Product }
	err := s.c.Get(ctx, "products", nil, &page)
	return page.Products, err
}

func (s remoteShop) Product(ctx context.Context, id string) (*toss.Product, error) {
	var p toss.Product
	err := s.c.Get(ctx, "products/"+url.PathEscape(id), nil, &p)
	return &p, err
}

func (s remoteShop) CloseProduct(ctx context.Context, id string) (*toss.Product, error) {
	var p toss.Product
	err := s.c.Post(ctx, "products/"+url.PathEscape(id)+"/close", map[string]any{}, &p)
	return &p, err
}

func printProducts(w io.Writer, all []*toss.Product) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no products: add one with hookkeeper products add")
		return err
	}
	var t table
	t.add("PRODUCT", "NAME", "PRICE", "TAKEN", "SEATS", "SALE")
	for _, p := range all {
		t.add(p.ID, p.Name, strconv.FormatInt(p.Price, 10)+" "+p.Currency, strconv.FormatInt(p.Taken, 10), seatsOf(p), saleOf(p, time.Now()))
	}
	return t.print(w)
}

func seatsOf(p *toss.Product) string {
	if p.Seats == nil {
		return "no limit"
	}
	return strconv.FormatInt(*p.Seats, 10)
}

func saleOf(p *toss.Product, now time.Time) string {
	switch {
	case p.Closed:
		return "closed"
	case p.OpensAt != nil && now.Before(*p.OpensAt):
		return "opens " + stamp(*p.OpensAt)
	case p.ClosesAt != nil && !now.Before(*p.ClosesAt):
		return "over since " + stamp(*p.ClosesAt)
	case p.ClosesAt != nil:
		return "until " + stamp(*p.ClosesAt)
	}
	return "open"
}

func printProduct(w io.Writer, p *toss.Product, asJSON bool) error {
	if asJSON {
		return printJSON(w, p)
	}
	return printProducts(w, []*toss.Product{p})
}
