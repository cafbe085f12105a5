package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

// Run prints the script. It knows all commands and flags of this binary, and
// calls the binary for nothing.
func (cmd *completionCmd) Run(a *app, c *kong.Context) error {
	write := map[string]func([]place) string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[cmd.Shell]
	_, err := io.WriteString(a.stdout, write(places(c.Model.Node)))
	return err
}

// place is where somebody who types may be: behind the words of a command or of
// a group of them.
type place struct {
	words    string // "", "events", "events list"
	children []choice
	values   []choice // of its argument, where they are known
	flags    []flagChoice
}

type choice struct{ word, help string }

type flagChoice struct {
	choice
	bool   bool
	file   bool // its value is a file or a folder
	values []string
}

// places goes through the whole command line, the top first.
func places(node *kong.Node) []place {
	p := place{words: node.Path()}
	for _, child := range node.Children {
		p.children = append(p.children, choice{child.Name, child.Help})
	}
	for _, arg := range node.Positional {
		for _, value := range choices(arg) {
			p.values = append(p.values, choice{value, arg.Help})
		}
	}
	for _, f := range flagsOf(node) {
		form := strings.Fields(formatOf(f))[0]
		p.flags = append(p.flags, flagChoice{
			choice: choice{"--" + f.Name, f.Help}, bool: f.IsBool(), values: choices(f),
			file: form == "FILE" || form == "DIR",
		})
	}
	all := []place{p}
	for _, child := range node.Children {
		all = append(all, places(child)...)
	}
	return all
}

// next are the words that may follow, flags apart.
func (p place) next() []choice { return slices.Concat(p.children, p.values) }

func words(list []choice) string {
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = c.word
	}
	return strings.Join(out, " ")
}

func (p place) flagWords() string {
	out := make([]string, len(p.flags))
	for i, f := range p.flags {
		out[i] = f.word
	}
	return strings.Join(out, " ")
}

// quoted is a text between the single quotes of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// The walk finds the place: every word that is a command of the place so far
// leads on, and the value of a flag is no command.
const bashHead = `# Completes hookkeeper in bash: source <(hookkeeper completion bash)
_hookkeeper() {
  local current=${COMP_WORDS[COMP_CWORD]} previous= at= i word children= flags= valued=
  [ "$COMP_CWORD" -gt 0 ] && previous=${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  _hookkeeper_at ''
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case " $valued " in *" ${COMP_WORDS[i-1]} "*) continue ;; esac
    case " $children " in *" $word "*) at="${at:+$at }$word"; _hookkeeper_at "$at" ;; esac
  done
`

func bashScript(all []place) string {
	var b strings.Builder
	b.WriteString(bashHead)
	b.WriteString("  case \"$at $previous\" in\n")
	for _, p := range all {
		for _, f := range p.flags {
			switch {
			case len(f.values) > 0:
				fmt.Fprintf(&b, "    %s) COMPREPLY=($(compgen -W %s -- \"$current\")); return ;;\n",
					quoted(p.words+" "+f.word), quoted(strings.Join(f.values, " ")))
			case f.file:
				fmt.Fprintf(&b, "    %s) COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n", quoted(p.words+" "+f.word))
			}
		}
	}
	b.WriteString("  esac\n")
	b.WriteString("  case \" $valued \" in *\" $previous \"*) return ;; esac\n")
	b.WriteString("  case $current in\n    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$current\")) ;;\n")
	b.WriteString("    *) COMPREPLY=($(compgen -W \"$children\" -- \"$current\")) ;;\n  esac\n}\n\n")
	b.WriteString("_hookkeeper_at() {\n  case $1 in\n")
	for _, p := range all {
		var valued []string
		for _, f := range p.flags {
			if !f.bool {
				valued = append(valued, f.word)
			}
		}
		fmt.Fprintf(&b, "    %s)\n      children=%s\n      flags=%s\n      valued=%s ;;\n", quoted(p.words),
			quoted(words(p.next())), quoted(p.flagWords()), quoted(strings.Join(valued, " ")))
	}
	b.WriteString("  esac\n}\n\ncomplete -o default -F _hookkeeper hookkeeper\n")
	return b.String()
}

// described is a list of words with their meanings, as zsh's _describe takes it.
func described(list []choice) string {
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = quoted(strings.ReplaceAll(c.word, ":", `\:`) + ":" + c.help)
	}
	return strings.Join(out, " ")
}

const zshHead = `#compdef hookkeeper
# Completes hookkeeper in zsh: hookkeeper completion zsh > "${fpath[1]}/_hookkeeper"
_hookkeeper() {
  local at='' word previous='' valued='' i
  local -a children flags
  _hookkeeper_at ''
  for ((i = 2; i < CURRENT; i++)); do
    word=${words[i]}
    if [[ " $valued " == *" ${words[i-1]} "* ]]; then continue; fi
    if (( ${children[(I)${word}:*]} )); then at="${at:+$at }$word"; _hookkeeper_at "$at"; fi
  done
  (( CURRENT > 1 )) && previous=${words[CURRENT-1]}
`

func zshScript(all []place) string {
	var b strings.Builder
	b.WriteString(zshHead)
	b.WriteString("  case \"$at $previous\" in\n")
	for _, p := range all {
		for _, f := range p.flags {
			switch {
			case len(f.values) > 0:
				fmt.Fprintf(&b, "    (%s) compadd -- %s; return ;;\n", quoted(p.words+" "+f.word), strings.Join(f.values, " "))
			case f.file:
				fmt.Fprintf(&b, "    (%s) _files; return ;;\n", quoted(p.words+" "+f.word))
			}
		}
	}
	b.WriteString("  esac\n")
	b.WriteString("  if [[ \" $valued \" == *\" $previous \"* ]]; then return; fi\n")
	b.WriteString("  if [[ ${words[CURRENT]} == -* ]]; then _describe flag flags; else _describe command children || _files; fi\n}\n\n")
	b.WriteString("_hookkeeper_at() {\n  case $1 in\n")
	for _, p := range all {
		var valued []string
		var flags []choice
		for _, f := range p.flags {
			flags = append(flags, f.choice)
			if !f.bool {
				valued = append(valued, f.word)
			}
		}
		fmt.Fprintf(&b, "    (%s)\n      children=(%s)\n      flags=(%s)\n      valued=%s ;;\n", quoted(p.words),
			described(p.next()), described(flags), quoted(strings.Join(valued, " ")))
	}
	b.WriteString("  esac\n}\n\n_hookkeeper \"$@\"\n")
	return b.String()
}

// fish compares the words before the cursor with a place, flags left out. Behind
// a group nothing but its commands may follow, behind a command anything.
const fishHead = `# Completes hookkeeper in fish: hookkeeper completion fish | source
function __hookkeeper_at
    set -l typed
    for word in (commandline -opc)[2..-1]
        string match -q -- '-*' $word; or set -a typed $word
    end
    set -l want (string split -n ' ' -- $argv[1])
    test "$argv[2]" = group; and test (count $typed) -ne (count $want); and return 1
    test (count $typed) -ge (count $want); or return 1
    test (count $want) -eq 0; and return 0
    test "$typed[1..(count $want)]" = "$want"
end

complete -c hookkeeper -f
`

func fishQuoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

func fishScript(all []place) string {
	var b strings.Builder
	b.WriteString(fishHead)
	for _, p := range all {
		kind := "command"
		if len(p.children) > 0 {
			kind = "group"
		}
		here := fishQuoted("__hookkeeper_at " + fishQuoted(p.words) + " " + kind)
		for _, c := range p.next() {
			fmt.Fprintf(&b, "complete -c hookkeeper -n %s -a %s -d %s\n", here, fishQuoted(c.word), fishQuoted(c.help))
		}
		for _, f := range p.flags {
			fmt.Fprintf(&b, "complete -c hookkeeper -n %s -l %s -d %s", here, strings.TrimPrefix(f.word, "--"), fishQuoted(f.help))
			switch {
			case len(f.values) > 0:
				fmt.Fprintf(&b, " -x -a %s", fishQuoted(strings.Join(f.values, " ")))
			case f.file:
				b.WriteString(" -r -F")
			case !f.bool:
				b.WriteString(" -x")
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}
