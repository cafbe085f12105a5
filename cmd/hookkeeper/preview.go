package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/hookkeeper/hookkeeper/hook"
)

// printPreview writes what a planned job would change, a row a line, below the line
// of its event.
func printPreview(w io.Writer, job hook.PlannedJob) error {
	p := job.Preview
	if p == nil {
		return nil
	}
	lines := []string{job.Handler + ": " + previewSays(p)}
	for _, row := range p.Rows {
		lines = append(lines, "  "+row.Change+" "+strings.TrimSpace(row.Table+" "+row.Key)+": "+columnsText(row))
	}
	if p.More {
		lines = append(lines, "  and more rows than are shown")
	}
	for _, line := range lines {
		if _, err := fmt.Fprintf(w, "    %s\n", printable(line)); err != nil {
			return err
		}
	}
	return nil
}

func previewSays(p *hook.JobPreview) string {
	switch {
	case p.Ending == hook.PreviewFails:
		return "would fail: " + p.Text
	case p.Ending != hook.PreviewRows:
		return p.Text
	case len(p.Rows) == 0:
		return "no row would change"
	}
	return fmt.Sprintf("%d rows would change", len(p.Rows))
}

// columnsText is name: old → new for each column.
func columnsText(row hook.RowChange) string {
	text := func(v *string) string {
		switch {
		case v == nil:
			return "null"
		case len(*v) > maxPreviewText:
			return fmt.Sprintf("%q…", strings.ToValidUTF8((*v)[:maxPreviewText], ""))
		}
		return fmt.Sprintf("%q", *v)
	}
	var parts []string
	for _, c := range row.Columns {
		switch row.Change {
		case hook.ChangeInsert:
			parts = append(parts, c.Name+" "+text(c.New))
		case hook.ChangeDelete:
			parts = append(parts, c.Name+" "+text(c.Old))
		default:
			parts = append(parts, c.Name+" "+text(c.Old)+" → "+text(c.New))
		}
	}
	return strings.Join(parts, ", ")
}

// maxPreviewText bounds a value on a line.
const maxPreviewText = 80
