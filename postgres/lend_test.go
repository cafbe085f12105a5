package postgres_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/hookkeeper/hookkeeper/hook"
	"github.com/hookkeeper/hookkeeper/internal/pgtest"
	"github.com/hookkeeper/hookkeeper/postgres"
)

// What a transaction had lent that was rolled back at its COMMIT does not exist: the
// second try of the batch lends anew.
func TestARolledBackLoanIsForgotten(t *testing.T) {
	url := pgtest.Database(t)
	s := open(t, url, postgres.Options{MaxConns: 6})
	conn := dial(t, url)
	execute(t, conn, `CREATE SEQUENCE tries`)
	execute(t, conn, `CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF nextval('public.tries') = 1 THEN
				RAISE EXCEPTION 'not this time' USING ERRCODE = 'serialization_failure';
			END IF;
			RETURN NULL;
		END $$`)
	execute(t, conn, `CREATE CONSTRAINT TRIGGER fail_once AFTER INSERT ON hookkeeper.jobs DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION public.fail_once()`)
	receipt, jobs, err := s.RecordAndLend(t.Context(), hook.Delivery{Source: "shop", Header: http.Header{}, Body: []byte("{}")},
		hook.Identity{Key: "a", Type: "t", Trust: hook.TrustSignature}, []string{"h"}, hook.Loan{Handlers: []string{"h"}, Lease: time.Minute, Node: "n"})
	if err != nil || len(jobs) != 1 {
		t.Fatalf("lent %d jobs, %v; want one", len(jobs), err)
	}
	var tries int
	if err := conn.QueryRow(t.Context(), `SELECT last_value FROM tries`).Scan(&tries); err != nil || tries != 2 {
		t.Fatalf("%d commits were tried, %v; want 2", tries, err)
	}
	if jobs[0].Event.ID != receipt.EventID {
		t.Errorf("event %s was recorded, the job that was lent is of %s", receipt.EventID, jobs[0].Event.ID)
	}
	if err := s.Finish(t.Context(), jobs[0], nil); err != nil {
		t.Errorf("end the lent job: %v", err)
	}
}

// A node of the version before, which was running when a newer one migrated, records
// by the function that it knows, and counts for itself.
func TestANodeOfTheVersionBeforeGoesOn(t *testing.T) {
	url := pgtest.Database(t)
	s := open(t, url, postgres.Options{MaxConns: 6})
	conn := dial(t, url)
	execute(t, conn, `SET search_path TO hookkeeper, public`)
	for i, jobs := range []string{`ARRAY[1::bigint], ARRAY['h'], ARRAY[''], ARRAY[0::bigint], ARRAY['']`, `'{}', '{}', '{}', '{}', '{}'`,
		`ARRAY[1::bigint], ARRAY['h'], ARRAY[''], ARRAY[8000000000000000001], ARRAY['old']`} {
		var fresh bool
		err := conn.QueryRow(t.Context(), `SELECT fresh FROM record_and_lend(2000000000000000 + $1::bigint * 1000, 1, ARRAY[1::bigint],
			ARRAY['shop'], ARRAY[''], ARRAY['k' || $1::text], ARRAY['\x01'::bytea], ARRAY['signature'], ARRAY[''], ARRAY[1::bigint],
			ARRAY[1::bigint], ARRAY['t'], ARRAY[''], ARRAY[NULL::bigint], ARRAY[2::bigint], ARRAY[''::bytea], ARRAY['{}'::bytea], `+jobs+`)`, i).Scan(&fresh)
		if err != nil || !fresh {
			t.Fatalf("record by the old function: fresh %t, %v", fresh, err)
		}
	}
	lent := claim(t, s, 10, time.Minute)
	if len(lent) != 1 || lent[0].Event.Key != "k0" {
		t.Fatalf("claimed %d jobs, want that of k0", len(lent))
	}
	var until int64
	if err := conn.QueryRow(t.Context(), `SELECT lease_until FROM jobs WHERE lease_by = 'old' AND state = 'running'`).Scan(&until); err != nil || until != 8000000000000000001 {
		t.Errorf("the job that was lent has a lease until %d, %v", until, err)
	}
	var counted int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM counters`).Scan(&counted); err != nil || counted != 0 {
		t.Errorf("%d lines were counted for it, %v; want none", counted, err)
	}
}
