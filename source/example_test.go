package source_test

import (
	"fmt"
	"net/http"
	"time"

	"github.com/hookkeeper/hookkeeper/source"
)

func ExampleStripe() {
	s := source.Stripe("stripe", "whsec_theNewSecretOfTheEndpoint", "whsec_theOldOneWhileItIsRolled")
	if err := s.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	now := time.Unix(1772323242, 0)
	body := []byte(`{"id":"evt_1","type":"invoice.paid","livemode":true,"data":{"object":{"subscription":"sub_1"}}}`)
	header := http.Header{}
	if err := s.Sign(header, body, now); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Verify(header, body, now))
	fmt.Println(s.Verify(header, body, now.Add(10*time.Minute)))
	id, err := s.Identify(header, body)
	fmt.Println(id.Key, id.Type, id.Subject, id.Mode, err)
	// Output:
	// <nil>
	// not verified: timestamp_too_old: signed 10m0s before the clock of this check, tolerance 5m0s
	// evt_1 invoice.paid sub_1 live <nil>
}
