package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"
)

// Point is one quantile of a latency.
type Point struct {
	Quantile float64 // 0 to below 1
	Latency  time.Duration
}

// Line is one curve of a chart.
type Line struct {
	Name   string
	Points []Point // by rising quantile
}

// The chart's measures, in pixels.
const (
	chartWidth, chartHeight         = 860, 460
	chartLeft, chartRight           = 70, 250
	chartTop, chartBottom           = 50, 50
	chartNines                      = 5 // to the right: 99.999 %
	chartShortest                   = 100 * time.Microsecond
	chartDecades                    = 5 // above: 10 s
	plotWidth               float64 = chartWidth - chartLeft - chartRight
	plotHeight              float64 = chartHeight - chartTop - chartBottom
)

// Chart writes the latencies as an SVG: to the right the share of deliveries on a
// scale of nines, upwards the latency on a logarithmic one.
func Chart(w io.Writer, title string, lines []Line) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		chartWidth, chartHeight)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%d" y="28" font-size="16">%s</text>`+"\n",
		chartLeft, html.EscapeString(title))
	grid(&b)
	for i, line := range lines {
		curve(&b, i, line)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func grid(b *strings.Builder) {
	for n := range chartNines + 1 {
		q := 1 - math.Pow(10, -float64(n))
		x := chartX(q)
		label := "0 %"
		if n > 0 {
			label = fmt.Sprintf("%.*f %%", max(n-2, 0), q*100)
		}
		fmt.Fprintf(b, `<path d="M%.1f %d V%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			x, chartTop, chartHeight-chartBottom, x, chartHeight-chartBottom+20, label)
	}
	for n := range chartDecades + 1 {
		d := chartShortest * time.Duration(math.Pow10(n))
		y := chartY(d)
		fmt.Fprintf(b, `<path d="M%d %.1f H%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			chartLeft, y, chartWidth-chartRight, chartLeft-8, y+4, d)
	}
}

func curve(b *strings.Builder, i int, line Line) {
	colours := [...]string{"#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#b9770e", "#555"}
	colour := colours[i%len(colours)]
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, colour)
	for _, p := range line.Points {
		fmt.Fprintf(b, "%.1f,%.1f ", chartX(p.Quantile), chartY(p.Latency))
	}
	x, y := chartWidth-chartRight+12, chartTop+14+18*i
	fmt.Fprintf(b, `"/><path d="M%d %d h18" stroke="%s" stroke-width="3"/><text x="%d" y="%d">%s</text>`+"\n",
		x, y-4, colour, x+24, y, html.EscapeString(line.Name))
}

func chartX(q float64) float64 {
	nines := min(-math.Log10(max(1-q, math.Pow10(-chartNines))), chartNines)
	return chartLeft + plotWidth*nines/chartNines
}

func chartY(d time.Duration) float64 {
	decades := min(max(math.Log10(float64(d)/float64(chartShortest)), 0), chartDecades)
	return chartTop + plotHeight*(1-decades/chartDecades)
}
