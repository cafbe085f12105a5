package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

// TestHelpIsATable compares with what a person has read and found good. With
// UPDATE=1 in the environment it writes what comes out now, to be read again.
func TestHelpIsATable(t *testing.T) {
	for _, command := range []string{"serve", "send"} {
		got := call(t, nil, command, "--help")
		if got.code != 0 || got.stderr != "" {
			t.Errorf("%s --help: exit code %d, %s", command, got.code, got.stderr)
		}
		path := filepath.Join("testdata", "help", command+".txt")
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(path, []byte(got.stdout), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.stdout); diff != "" {
			t.Errorf("%s --help (-want +got):\n%s", command, diff)
		}
	}
}

// model is the command line as it is parsed.
func model(t *testing.T) *kong.Application {
	t.Helper()
	var c cli
	parser, err := kong.New(&c, kong.Name("hookkeeper"), kong.NoDefaultHelp())
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

func TestHelpOfEveryCommandIsWhole(t *testing.T) {
	for _, p := range places(model(t).Node) {
		help := call(t, nil, append(strings.Fields(p.words), "--help")...)
		if help.code != 0 || !strings.HasPrefix(help.stdout, "Usage: hookkeeper") {
			t.Errorf("%q --help: exit code %d: %s%s", p.words, help.code, help.stdout, help.stderr)
		}
		for _, f := range p.flags {
			if !strings.Contains(help.stdout, f.word+" ") || f.help == "" {
				t.Errorf("%q --help has no %s, or does not say what it means", p.words, f.word)
			}
		}
		for line := range strings.Lines(help.stdout) {
			if text := strings.TrimRight(line, "\n"); strings.HasPrefix(text, "        ") && columns(text) > helpWidth {
				t.Errorf("%q --help: a line is wider than %d: %s", p.words, helpWidth, text)
			}
		}
	}
}

func script(t *testing.T, shell string) string {
	t.Helper()
	got := call(t, nil, "completion", shell)
	if got.code != 0 || got.stderr != "" || got.stdout == "" {
		t.Fatalf("completion %s: exit code %d, %s", shell, got.code, got.stderr)
	}
	return got.stdout
}

func TestCompletionKnowsEveryCommandAndFlag(t *testing.T) {
	all := places(model(t).Node)
	if len(all) < 20 {
		t.Fatalf("only %d commands", len(all))
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		text := script(t, shell)
		for _, p := range all {
			if !strings.Contains(text, "'"+p.words+"'") && !strings.Contains(text, `\'`+p.words+`\'`) {
				t.Errorf("%s: nothing for %q", shell, p.words)
			}
			for _, f := range p.flags {
				word := f.word
				if shell == "fish" {
					word = "-l " + strings.TrimPrefix(word, "--") + " "
				}
				if !strings.Contains(text, word) {
					t.Errorf("%s: no %s", shell, f.word)
				}
			}
		}
	}
	if got := call(t, nil, "completion", "tcsh"); got.code != exitUsage {
		t.Errorf("an unknown shell: exit code %d, want %d", got.code, exitUsage)
	}
}

// TestShellsAcceptTheirScripts: a shell that is not installed is skipped, bash
// must be.
func TestShellsAcceptTheirScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		path, err := exec.LookPath(shell)
		if err != nil && shell != "bash" {
			continue
		}
		command := exec.CommandContext(t.Context(), path, "-n")
		command.Stdin = strings.NewReader(script(t, shell))
		if out, err := command.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s -n: %v\n%s", shell, err, out)
		}
	}
}

func TestBashCompletesWhatIsTyped(t *testing.T) {
	for _, test := range []struct {
		typed string // the last word is being completed
		want  []string
	}{
		{"ev", []string{"events"}},
		{"events ", []string{"export", "list", "show", "verify"}},
		{"events sh", []string{"show"}},
		{"events show --r", []string{"--raw"}},
		{"serve --log-format ", []string{"json", "text"}},
		{"serve --config serve --role w", []string{"work"}},
		{"tokens add --role a", []string{"admin"}},
		{"completion ", []string{"bash", "fish", "zsh"}},
		{"events --token x li", []string{"list"}},
		{"replay --reason ", nil},
	} {
		words := strings.Split("hookkeeper "+test.typed, " ")
		var b strings.Builder
		b.WriteString(script(t, "bash"))
		b.WriteString("\nCOMP_WORDS=(")
		for _, w := range words {
			b.WriteString(quoted(w) + " ")
		}
		b.WriteString(")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_hookkeeper\nfor c in \"${COMPREPLY[@]}\"; do echo \"$c\"; done\n")
		command := exec.CommandContext(t.Context(), "bash", "--norc", "-s")
		command.Stdin, command.Stderr = strings.NewReader(b.String()), io.Discard
		out, err := command.Output()
		got := strings.Fields(string(out))
		slices.Sort(got)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%q: got %v, %v, want %v", test.typed, got, err, test.want)
		}
	}
}
