package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dev"
	"github.com/hookkeeper/hookkeeper/toss"
	"github.com/hookkeeper/hookkeeper/tosstest"
)

// devProduct is what dev sells, to nobody, through the Toss sandbox.
const devProduct = "sample"

// devShop is the Toss sandbox that runs beside dev, so that the checkout page can
// be tried with the network off.
type devShop struct {
	door net.Listener
	base string // of its API and console
	sim  *tosstest.Sim
}

// openShop points the configuration of the folder at a sandbox on door. Its
// script is served from another site than the page, as Toss's is.
func openShop(door net.Listener, f *devFolder) *devShop {
	s := &devShop{door: door, base: "http://" + addressOf(door)}
	s.sim = tosstest.New(tosstest.Options{
		SecretKey: f.values[envTossKey], WebhookURL: f.values["HOOKKEEPER_URL"] + "/hooks/toss", BaseURL: s.base,
	})
	script := s.base
	if host, port, err := net.SplitHostPort(addressOf(door)); err == nil && host == "127.0.0.1" {
		script = "http://localhost:" + port
	}
	f.values[envTossBase], f.values[envTossSDK] = s.base, script+"/v2/standard"
	return s
}

// serve plays Toss until ctx ends.
func (s *devShop) serve(ctx context.Context, log *slog.Logger) {
	if err := playToss(ctx, s.sim, s.door); err != nil {
		log.Error("toss sandbox", "error", err.Error())
	}
}

// stock puts the sample product on sale, where a former dev has not.
func (s *devShop) stock(ctx context.Context, f *devFolder) error {
	counter := remoteShop{&dev.Client{Base: f.values["HOOKKEEPER_OPERATOR"], Token: f.values[envToken]}}
	if _, err := counter.Product(ctx, devProduct); err == nil {
		return nil
	}
	seats := int64(30)
	_, err := counter.AddProduct(ctx, toss.Product{
		ID: devProduct, Name: "맛보기 모임 · Sample meetup", Price: 15000, Currency: "KRW", Seats: &seats,
	})
	if err != nil && strings.Contains(err.Error(), hook.ErrRefused.Error()) {
		return nil // there is one
	}
	return err
}

// lines tell where to look.
func (s *devShop) lines(f *devFolder) string {
	return fmt.Sprintf("  checkout   %s/checkout/p/%s  (pay with the sandbox: no money moves)\n  sandbox    %s/  (plays Toss Payments)\n",
		f.values["HOOKKEEPER_URL"], devProduct, s.base)
}
