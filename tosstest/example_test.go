package tosstest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/hookkeeper/hookkeeper/tosstest"
)

func ExampleSim() {
	sim := tosstest.New(tosstest.Options{
		TimeScale: -1, // only Advance moves the clock
		Receiver: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var event struct{ Data tosstest.Payment }
			if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
				fmt.Println(err)
			}
			fmt.Println("told of", event.Data.OrderID, event.Data.Status)
		}),
	})
	defer sim.Close()

	_, back, err := sim.Pay(tosstest.Order{
		OrderID: "order-1", OrderName: "A-11", Amount: tosstest.Amount{Value: 15000},
		SuccessURL: "https://shop.example/success", FailURL: "https://shop.example/fail",
	})
	fmt.Println(back[:29], err)

	sim.Advance(10 * time.Minute) // the shop never confirms
	fmt.Println(sim.Flush(context.Background()), sim.Payments()[0].Status)
	// Output:
	// https://shop.example/success? <nil>
	// told of order-1 EXPIRED
	// <nil> EXPIRED
}
