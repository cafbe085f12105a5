package stripe_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/sqlite"
	"github.com/hookkeeper/hookkeeper/stripe"
	"github.com/hookkeeper/hookkeeper/stripetest"
)

// A billing department works an event, and the application asks what the user may
// use. A program hands Department to hookkeeper.New, which does the rest.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := sqlite.Open(filepath.Join(dir, "shop.db"), sqlite.Options{Tables: []hook.Tables{stripe.Tables()}})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	desk, err := stripe.New(stripe.Config{Source: source.Stripe("stripe", "whsec_exampleSecretNotReal"), Store: store})
	if err != nil {
		log.Fatal(err)
	}

	sim := stripetest.New(time.Now(), stripe.PinnedVersion) // instead of Stripe
	sim.Put(stripetest.Subscription("sub_1", "cus_1", "usr_1001", "active", sim.Now(), sim.Now().AddDate(0, 1, 0)))
	event := &hook.Event{Source: "stripe", Mode: hook.ModeTest, Trust: hook.TrustSignature, Key: "evt_1",
		Type: "customer.subscription.created", OccurredAt: sim.Now(), Body: sim.Emit("customer.subscription.created", "sub_1")}
	ctx := context.Background()
	for _, route := range desk.Department().Routes {
		if !route.Wants("stripe", event.Type, event.Trust) {
			continue
		}
		effect, err := route.Handler.Handle(ctx, event)
		if err != nil {
			log.Fatal(err)
		}
		if err := store.Apply(ctx, effect); err != nil {
			log.Fatal(err)
		}
	}
	access, err := desk.AccessOf(ctx, "usr_1001")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(access.HasAccess, access.Plan, access.Why)
	// Output: true pro_monthly active
}
