package show

import (
	"fmt"
	"time"
)

// Size of a chart in the units of its view box.
const (
	chartWidth  = 600
	chartHeight = 120
)

// Point is one place on the axis of time with a value. A value below zero is a
// gap: nothing is known.
type Point struct {
	At    time.Time
	Value int64
}

// Bar is a bar of a chart, in the units of its view box.
type Bar struct {
	X, Y, Width, Height string
	Point
}

// Chart is a row of bars, ready to be drawn, with the numbers that they stand for.
type Chart struct {
	Name   string
	Total  int64
	Most   int64
	Bars   []Bar
	Points []Point
	Box    string // the view box
}

// Bars measures a chart out; with nothing to show all its bars are flat.
func Bars(name string, points []Point) Chart {
	c := Chart{Name: name, Points: points, Box: fmt.Sprintf("0 0 %d %d", chartWidth, chartHeight)}
	for _, p := range points {
		if p.Value > 0 {
			c.Total += p.Value
			c.Most = max(c.Most, p.Value)
		}
	}
	step := float64(chartWidth) / float64(max(1, len(points)))
	for i, p := range points {
		if p.Value < 0 {
			continue
		}
		height := 1.0
		if c.Most > 0 && p.Value > 0 {
			height = max(2, float64(p.Value)/float64(c.Most)*(chartHeight-4))
		}
		c.Bars = append(c.Bars, Bar{
			X: fmt.Sprintf("%.1f", float64(i)*step), Y: fmt.Sprintf("%.1f", chartHeight-height),
			Width: fmt.Sprintf("%.1f", max(1, step-1)), Height: fmt.Sprintf("%.1f", height), Point: p,
		})
	}
	return c
}
