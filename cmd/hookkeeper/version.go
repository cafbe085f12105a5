package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCmd struct {
	JSON bool `name:"json" help:"One JSON object."`
}

// build is what the binary knows of itself.
type buildInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	Schema  int    `json:"schema"`
}

// Run prints version, commit, Go and schema.
func (cmd *versionCmd) Run(a *app) error {
	b := readBuild()
	if cmd.JSON {
		return printJSON(a.stdout, b)
	}
	_, err := fmt.Fprintf(a.stdout, "hookkeeper %s, commit %s, %s %s/%s, schema %d\n",
		b.Version, b.Commit, b.Go, runtime.GOOS, runtime.GOARCH, b.Schema)
	return err
}

func readBuild() buildInfo {
	b := buildInfo{Version: "(devel)", Commit: "unknown", Go: runtime.Version(), Schema: latestSchema()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			defer func() { b.Commit += "+changes" }()
		}
	}
	return b
}
