package main

import (
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// kindMoney is the kind of operation that may need a second person.
const kindMoney = "money"

// operatorsConfig says what operators may do alone.
type operatorsConfig struct {
	SecondPerson   []string // kinds of operations that another operator must approve
	FirstTokenFile string   // where the first token goes; empty: beside the database
}

func (o *operatorsConfig) needsTwo(kind string) bool { return slices.Contains(o.SecondPerson, kind) }

func (o *operatorsConfig) printed() yaml.MapSlice {
	kinds := o.SecondPerson
	if kinds == nil {
		kinds = []string{}
	}
	out := yaml.MapSlice{{Key: "second_person", Value: kinds}}
	if o.FirstTokenFile != "" {
		out = append(out, yaml.MapItem{Key: "first_token_file", Value: o.FirstTokenFile})
	}
	return out
}

// operators reads the entry of that name.
func (r *reader) operators(n ast.Node) {
	r.mapping(n, "operators", keys{"first_token_file": r.text("operators.first_token_file", &r.c.Operators.FirstTokenFile), "second_person": func(n ast.Node) {
		r.texts("operators.second_person", &r.c.Operators.SecondPerson)(n)
		for _, kind := range r.c.Operators.SecondPerson {
			if kind != kindMoney {
				r.bad(n, "operators.second_person: %q: there is one kind of operation, %s", kind, kindMoney)
			}
		}
	}})
}
