package main

import (
	"cmp"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// helpWidth is where descriptions are wrapped: the width of the smallest
// terminal that people use.
const helpWidth = 80

// printHelp writes the help of a command as a table of flag, variable, format
// and default. Two tags of our own fill it, besides kong's: var names the
// environment variable that the configuration reads for the flag, standard the
// value that holds if neither is given.
func printHelp(_ kong.HelpOptions, c *kong.Context) error {
	node := c.Selected()
	if node == nil {
		node = c.Model.Node
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n\n%s", strings.Join(strings.Fields(c.Model.Name+" "+node.Summary()), " "), wrapped(node.Help, 2))
	helpArguments(&b, node)
	helpCommands(&b, node)
	if err := helpFlags(&b, node); err != nil {
		return err
	}
	if len(node.Children) > 0 {
		fmt.Fprintf(&b, "\n%s COMMAND --help says more of a command.\n", strings.TrimSpace(c.Model.Name+" "+node.Path()))
	}
	_, err := io.WriteString(c.Stdout, b.String())
	return err
}

func helpArguments(b *strings.Builder, node *kong.Node) {
	if len(node.Positional) == 0 {
		return
	}
	b.WriteString("\nArguments:\n")
	for _, arg := range node.Positional {
		fmt.Fprintf(b, "  %s\n%s", arg.Summary(), wrapped(arg.Help, 8))
	}
}

func helpCommands(b *strings.Builder, node *kong.Node) {
	if len(node.Children) == 0 {
		return
	}
	b.WriteString("\nCommands:\n")
	width := 0
	for _, child := range node.Children {
		width = max(width, len(child.Path()))
	}
	for _, child := range node.Children {
		text := wrapped(child.Help, width+4)
		fmt.Fprintf(b, "  %-*s  %s", width, child.Path(), strings.TrimLeft(text, " "))
	}
}

func helpFlags(b *strings.Builder, node *kong.Node) error {
	flags := flagsOf(node)
	var t table
	t.add("  FLAG", "VARIABLE", "FORMAT", "DEFAULT")
	for _, f := range flags {
		name := "--" + f.Name
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", " + name
		}
		t.add("  "+name, orDash(f.Tag.Get("var")), formatOf(f), defaultOf(f))
	}
	var rows strings.Builder
	if err := t.print(&rows); err != nil {
		return err
	}
	b.WriteString("\nFlags:\n")
	for i, row := range slices.Collect(strings.Lines(rows.String())) {
		b.WriteString(row)
		if i > 0 {
			b.WriteString(wrapped(flags[i-1].Help, 8))
		}
	}
	return nil
}

// flagsOf gives the flags of a command in the order of the code, those of its
// groups behind them, help last.
func flagsOf(node *kong.Node) []*kong.Flag {
	var all []*kong.Flag
	for n := node; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if !f.Hidden {
				all = append(all, f)
			}
		}
	}
	return all
}

// formatOf is the form of a flag's value: the choices, or a word for it.
func formatOf(f *kong.Flag) string {
	if f.IsBool() {
		return "-"
	}
	form := choices(f)
	text := strings.Join(form, "|")
	if len(form) == 0 {
		text = cmp.Or(f.PlaceHolder, strings.ToUpper(f.Name))
	}
	if f.Target.Kind() == reflect.Slice {
		text += " ..."
	}
	return text
}

// choices are the values that a flag or an argument may have, if they are known.
func choices(f interface{ EnumSlice() []string }) []string {
	return slices.DeleteFunc(f.EnumSlice(), func(s string) bool { return s == "" })
}

func defaultOf(f *kong.Flag) string {
	switch {
	case f.Tag.Has("standard"):
		return f.Tag.Get("standard")
	case f.Required:
		return "(required)"
	case f.HasDefault && f.Default != "":
		return f.Default
	}
	return "-"
}

// wrapped breaks a text into lines of the help's width, each after an indent.
func wrapped(text string, indent int) string {
	var b strings.Builder
	pad, room := strings.Repeat(" ", indent), helpWidth-indent
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && columns(line)+1+columns(word) > room {
			b.WriteString(pad + line + "\n")
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		b.WriteString(pad + line + "\n")
	}
	return b.String()
}
