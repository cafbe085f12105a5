package hookkeeper_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hookkeeper/hookkeeper"
	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/hooktest"
	"github.com/hookkeeper/hookkeeper/source"
)

// shared is a store that others work with too: their routes are those of far.
type shared struct {
	*hooktest.Faulty
	far   []hook.Route
	beats chan hook.NodeInfo
	cut   atomic.Int64 // so many beats fail first
}

func (s *shared) Beat(_ context.Context, n hook.NodeInfo) error {
	if s.cut.Add(-1) >= 0 {
		return errors.New("the connection was cut")
	}
	select {
	case s.beats <- n:
	default:
	}
	return nil
}
func (s *shared) Nodes(context.Context) ([]hook.NodeInfo, error) { return nil, nil }
func (s *shared) Routes(context.Context) ([]hook.Route, error)   { return s.far, nil }

// A node that only receives makes jobs for the handlers of the nodes that work,
// and has neither pages for operators nor workers.
func TestAReceivingNodeMakesJobsForOthers(t *testing.T) {
	store := &shared{Faulty: openStore(t), far: []hook.Route{{Name: "far", Types: "invoice.*"}}, beats: make(chan hook.NodeInfo, 1)}
	k, err := hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{source.Stripe("stripe", testSecret)},
		Tokens: []string{testToken}, Roles: []hookkeeper.NodeRole{hookkeeper.RoleReceive}, Node: "door-1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	me := <-store.beats
	if me.Name != "door-1" || len(me.Roles) != 1 || me.Roles[0] != "receive" || len(me.Handlers) != 0 {
		t.Errorf("this node says of itself %+v", me)
	}
	<-store.beats // the second beat: the routes of the first round are known by now
	sendStripe(t, k, `{"id":"evt_1","object":"event","type":"invoice.paid"}`, http.StatusOK)
	page, _, err := store.Events(t.Context(), hook.Filter{})
	if err != nil || len(page) != 1 || len(page[0].Jobs) != 1 || page[0].Jobs[0].Handler != "far" {
		t.Errorf("recorded %+v, %v, want one job for the other node's handler", page, err)
	}
	if status, _ := get(t, k.Operator(), "/api/v1/events", testToken); status != http.StatusNotFound {
		t.Errorf("a node without the role operate answered operators: %d", status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A database that is cut off at the very start does not end the node.
func TestANodeBearsACutAtItsStart(t *testing.T) {
	store := &shared{Faulty: openStore(t), beats: make(chan hook.NodeInfo, 1)}
	store.cut.Store(2)
	k, err := hookkeeper.New(hookkeeper.Config{Store: store, Sources: []hook.Source{source.Stripe("stripe", testSecret)}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	select {
	case <-store.beats:
	case err := <-done:
		t.Fatalf("the node ended: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// stoppedEarly is a store of a node that is stopped while it writes its routes.
type stoppedEarly struct {
	hook.Store
	stop context.CancelFunc
}

func (s stoppedEarly) SetRoutes(ctx context.Context, _ []hook.Route) error {
	s.stop()
	return ctx.Err()
}

// A node that is stopped while it starts has not failed.
func TestAStopAtTheStartIsNoError(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	k, err := hookkeeper.New(hookkeeper.Config{Store: stoppedEarly{openStore(t), stop}, Sources: []hook.Source{source.Stripe("stripe", testSecret)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A node without the role receive turns deliveries away, so that the sender
// tries another one.
func TestAWorkingNodeTakesNoDeliveries(t *testing.T) {
	k, err := hookkeeper.New(hookkeeper.Config{Store: openStore(t), Sources: []hook.Source{source.Stripe("stripe", testSecret)},
		Tokens: []string{testToken}, Roles: []hookkeeper.NodeRole{hookkeeper.RoleWork, hookkeeper.RoleOperate}})
	if err != nil {
		t.Fatal(err)
	}
	sendStripe(t, k, `{"id":"evt_1","object":"event","type":"invoice.paid"}`, http.StatusServiceUnavailable)
	if status, _ := get(t, k.Operator(), "/api/v1/events", testToken); status != http.StatusOK {
		t.Errorf("operators: %d", status)
	}
	_, err = hookkeeper.New(hookkeeper.Config{Store: openStore(t), Roles: []hookkeeper.NodeRole{"everything"}})
	if err == nil || !strings.Contains(err.Error(), "receive, work and operate") {
		t.Errorf("an unknown role: %v", err)
	}
}

// sendStripe delivers body, signed, and wants that status.
func sendStripe(t *testing.T, h http.Handler, body string, want int) {
	t.Helper()
	answer := hooktest.NewSender(t, h, source.Stripe("stripe", testSecret)).Deliver(body)
	if answer.Code != want {
		t.Errorf("%s: %+v, want %d", body, answer, want)
	}
}
