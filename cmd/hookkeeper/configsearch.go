package main

import (
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/hookkeeper/hookkeeper/hook"
	lexicon "github.com/hookkeeper/hookkeeper/internal/words"
)

// searchConfig says what of bodies can be searched. All words can, unless they are
// switched off or bodies are encrypted.
type searchConfig struct {
	Words *bool // nil: yes
	Paths []string
}

// search reads the section of that name.
func (r *reader) search(n ast.Node) {
	s := &r.c.Search
	r.mapping(n, "search", keys{
		"words": r.truth("search.words", &s.Words),
		"paths": func(n ast.Node) {
			r.texts("search.paths", &s.Paths)(n)
			if _, err := lexicon.New(true, s.Paths, nil); err != nil {
				r.bad(n, "search.paths: %v", err)
			}
		},
	})
}

// options are what a server opens its store with.
func (s *searchConfig) options() *hook.Search {
	return &hook.Search{Words: s.Words == nil || *s.Words, Paths: s.Paths}
}

func (s *searchConfig) printed() yaml.MapSlice {
	paths := s.Paths
	if paths == nil {
		paths = []string{}
	}
	return yaml.MapSlice{{Key: "words", Value: s.options().Words}, {Key: "paths", Value: paths}}
}
