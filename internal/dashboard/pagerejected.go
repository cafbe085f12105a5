package dashboard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/dashboard/show"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func isRefused(err error) bool { return errors.Is(err, hook.ErrRefused) }

// rejectedList is the page of refused deliveries.
type rejectedList struct {
	Source, Reason string
	Sources        []string
	Reasons        []reasonCount
	Notes          []rejectedNote
	More           bool // the ring holds more than are shown
}

type reasonCount struct {
	Reason hook.Reason
	N      int
}

// rejectedNote is a note with the name under which pages know it.
type rejectedNote struct {
	*hook.Rejection
	ID string
}

// noteID names a note by what it holds: the ring has no numbers that last.
func noteID(n *hook.Rejection) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\x00%s\x00%d\x00", n.Source, n.Reason, n.Size)
	sum.Write(n.Body)
	return strconv.FormatInt(n.At.UnixMicro(), 10) + "-" + hex.EncodeToString(sum.Sum(nil)[:8])
}

func (p *Pages) rejected(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	list := rejectedList{Source: q.Get("source"), Reason: q.Get("reason"), Sources: p.sourceNames()}
	notes, err := p.ledger.Rejections(r.Context(), list.Source, 2*recentNotes)
	if err != nil {
		return err
	}
	counts := map[hook.Reason]int{}
	for _, n := range notes {
		counts[n.Reason]++
		if list.Reason != "" && string(n.Reason) != list.Reason {
			continue
		}
		if len(list.Notes) == v.Rows {
			list.More = true
			continue
		}
		list.Notes = append(list.Notes, rejectedNote{n, noteID(n)})
	}
	for reason, n := range counts {
		list.Reasons = append(list.Reasons, reasonCount{reason, n})
	}
	slices.SortFunc(list.Reasons, func(a, b reasonCount) int {
		return (b.N-a.N)*1000 + strings.Compare(string(a.Reason), string(b.Reason))
	})
	return p.render(w, v, http.StatusOK, "rejected", list)
}

func (p *Pages) note(ctx context.Context, id string) (*hook.Rejection, error) {
	notes, err := p.ledger.Rejections(ctx, "", maxPage)
	if err != nil {
		return nil, err
	}
	for _, n := range notes {
		if noteID(n) == id {
			return n, nil
		}
	}
	return nil, fmt.Errorf("refused delivery: %w", hook.ErrNotFound)
}

// rejectionPage is one refused delivery.
type rejectionPage struct {
	rejectedNote
	Body     string
	Kind     show.Kind
	Masked   int
	Headers  []headerLine
	CanAgain bool
	Cut      bool // the body was not kept whole, so nothing can be verified
	Outcome  string
}

func (p *Pages) rejection(w http.ResponseWriter, r *http.Request, v *view) error {
	n, err := p.note(r.Context(), r.PathValue("note"))
	if err != nil {
		return err
	}
	return p.showRejection(w, v, http.StatusOK, n, "")
}

func (p *Pages) showRejection(w http.ResponseWriter, v *view, status int, n *hook.Rejection, outcome string) error {
	page := rejectionPage{rejectedNote: rejectedNote{n, noteID(n)}, Outcome: outcome, Cut: n.Size > len(n.Body)}
	page.CanAgain = p.again != nil && !page.Cut && v.Has(string(hook.RoleOperator))
	text, kind, _ := show.Body(n.Body)
	page.Body, page.Masked = p.masker.Mask(text)
	page.Kind = kind
	for _, line := range headerLines(n.Headers) {
		value, places := p.masker.Mask(line.Value)
		page.Masked += places
		page.Headers = append(page.Headers, headerLine{line.Name, value})
	}
	return p.render(w, v, status, "rejection", page)
}

// verifyAgain puts a refused delivery to the present secrets, as of its arrival.
// What passes is recorded; either outcome is audited.
func (p *Pages) verifyAgain(w http.ResponseWriter, r *http.Request, v *view) error {
	n, err := p.note(r.Context(), r.PathValue("note"))
	if err != nil {
		return err
	}
	switch {
	case p.again == nil:
		return &hook.Problem{Status: http.StatusNotImplemented, Detail: v.T("rejected.noagain")}
	case n.Size > len(n.Body):
		return &hook.Problem{Status: http.StatusConflict, Detail: v.T("rejected.cut")}
	}
	receipt, err := p.again(r.Context(), hook.Delivery{Source: n.Source, Header: n.Headers, Body: n.Body,
		ReceivedAt: n.At, Remote: n.Remote})
	unverified, still := errors.AsType[*hook.UnverifiedError](err)
	if err != nil && !still {
		return err
	}
	entry := hook.AuditNote{Actor: v.Who, Action: "verify_again", Event: receipt.EventID, Object: n.Source, Reason: "recorded"}
	if still {
		entry.Reason = "still refused: " + string(unverified.Reason)
	}
	// If we die before this line the event is recorded and its entry is missing;
	// the next look records a duplicate and writes the entry.
	if p.desk != nil {
		if err := p.desk.Note(r.Context(), entry); err != nil {
			return err
		}
	}
	if still {
		return p.showRejection(w, v, http.StatusOK, n, v.T("rejected.still", string(unverified.Reason)))
	}
	p.forget()
	p.to(w, v, "events/"+url.PathEscape(receipt.EventID)+"?done=recorded")
	return nil
}
