package stripetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxLearned is how many events, and how many objects, an account keeps that it
// goes on learning: the oldest go.
const maxLearned = 2000

// Learn takes in an event that was made elsewhere, such as a test delivery: it
// joins the log, and its object is the present one unless a later event has told
// of it. Of two events of one second the one that is learned last counts. A
// repeat changes nothing. A body that is no event, or a thin one, which holds no
// object, is an error and changes nothing either.
func (s *Sim) Learn(body []byte) error {
	var e struct {
		ID      string
		Object  string
		Type    string
		Created int64
		Data    struct{ Object Object }
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return errors.New("learn an event: it is no JSON of one")
	}
	id, _ := e.Data.Object["id"].(string)
	switch {
	case e.Object != "event" || e.ID == "":
		return errors.New("learn an event: it is none, or a thin one")
	case id == "":
		return fmt.Errorf("learn event %.80q: its object has no id", e.ID)
	}
	var whole Object
	if err := json.Unmarshal(body, &whole); err != nil {
		return errors.New("learn an event: it is no JSON of one")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.events, func(r recorded) bool { return r.event["id"] == e.ID }) {
		return nil
	}
	s.events = append(s.events, recorded{event: whole})
	if len(s.events) > maxLearned {
		s.events = slices.Delete(s.events, 0, 1)
	}
	if at, ok := s.told[id]; ok && at > e.Created {
		return nil
	}
	if strings.HasPrefix(e.Type, "customer.deleted") {
		e.Data.Object["deleted"] = true
	}
	s.told[id] = e.Created
	s.put(e.Data.Object)
	if len(s.order) > maxLearned {
		s.remove(s.order[0])
	}
	return nil
}
