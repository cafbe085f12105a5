package dev

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed samples
var samples embed.FS

// The API trains of Stripe that there are samples of, the default one first.
// The last holds thin events.
var stripeTrains = [...]string{"dahlia", "acacia", "basil", "endive", "thin"}

// preferred decides which variant of a type is sent when only the type is
// named: the one where things went well.
var preferred = [...]string{"done.card", "done", "completed", "renewal", "payment"}

// Types lists the names under which there are samples of a sender, sorted: the
// type itself, or the type and a variant.
func Types(sender string) []string {
	var names []string
	for _, dir := range folders(sender, "") {
		for _, file := range list(dir) {
			if !slices.Contains(names, file) {
				names = append(names, file)
			}
		}
	}
	if sender == "stripe" {
		names = typesOfStripe(names)
	}
	slices.Sort(names)
	return names
}

// folders of a sender's samples, in the order in which they are searched.
func folders(sender, train string) []string {
	root := path.Join("samples", sender)
	if sender != "stripe" {
		return []string{root}
	}
	if train != "" {
		return []string{path.Join(root, train)}
	}
	var dirs []string
	for _, t := range stripeTrains {
		dirs = append(dirs, path.Join(root, t))
	}
	return dirs
}

func list(dir string) []string {
	entries, err := samples.ReadDir(dir)
	if err != nil {
		return nil // a sender without samples
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	return names
}

// sample finds a body by type or by type and variant.
func sample(sender, eventType, train string) ([]byte, error) {
	if sender == "stripe" && train != "" && !slices.Contains(stripeTrains[:], train) {
		return nil, fmt.Errorf("unknown train %q, there are %s", train, strings.Join(stripeTrains[:], ", "))
	}
	for _, dir := range folders(sender, train) {
		if name, ok := pick(dir, eventType); ok {
			return samples.ReadFile(path.Join(dir, name+".json"))
		}
	}
	if sender == "stripe" {
		if body, ok := stripeSample(eventType, train); ok {
			return body, nil
		}
	}
	if body, ok := generic(sender, eventType); ok {
		return body, nil
	}
	known := Types(sender)
	if len(known) == 0 {
		return nil, fmt.Errorf("no samples of %s, give the body with --data FILE", sender)
	}
	return nil, fmt.Errorf("no sample of %s %s, nearest is %s; give a body of your own with --data FILE",
		sender, eventType, Nearest(eventType, known))
}

// pick finds the file of a name: the exact one, else a variant of that type.
func pick(dir, eventType string) (string, bool) {
	var variants []string
	for _, name := range list(dir) {
		if name == eventType {
			return name, true
		}
		// connect.TYPE is a type as it comes from a connected account.
		near := strings.HasPrefix(name, eventType+".") || name == "connect."+eventType
		if near && typeOf(dir, name) == eventType {
			variants = append(variants, name)
		}
	}
	for _, word := range preferred {
		if name := eventType + "." + word; slices.Contains(variants, name) {
			return name, true
		}
	}
	if len(variants) == 0 {
		return "", false
	}
	return variants[0], true
}

// typeOf reads the type out of a sample. Toss's deposit callback has none.
func typeOf(dir, name string) string {
	body, err := samples.ReadFile(path.Join(dir, name+".json"))
	if err != nil {
		return "" // the name came from the same list
	}
	for _, field := range []string{"type", "eventType"} {
		if t := read(body, field); t != "" {
			return t
		}
	}
	kind, _, _ := strings.Cut(name, ".")
	return kind
}

// generic makes a body for senders whose types their users name themselves.
func generic(sender, eventType string) ([]byte, bool) {
	kind := string(quote(eventType))
	switch sender {
	case "standard-webhooks":
		return []byte(`{"type":` + kind + `,"timestamp":"","data":{"id":"obj_0001"}}`), true
	case "portone":
		return []byte(`{"type":` + kind + `,"timestamp":"","data":{"storeId":"store-00000000-0000-0000-0000-000000000077",` +
			`"paymentId":"order-20260301-0077","transactionId":"01900000-0000-7000-8000-000000000077"}}`), true
	case "hmac":
		return []byte(`{"id":"","type":` + kind + `,"event":` + kind + `,"created_at":""}`), true
	}
	return nil, false
}

// Nearest returns the name with the fewest single-letter changes to word.
func Nearest(word string, names []string) string {
	best, fewest := "", -1
	for _, name := range names {
		if d := distance(word, name); fewest < 0 || d < fewest {
			best, fewest = name, d
		}
	}
	return best
}

// distance counts the letters to insert, remove or change between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
