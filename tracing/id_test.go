package tracing

import "testing"

func TestOnlyATraceparentIsOne(t *testing.T) {
	t.Parallel()
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"
	for text, want := range map[string]bool{
		good + "01": true, good + "00": true, good + "0a": true, "01" + good[2:] + "01-more": true,
		"": false, good: false, good + "01-more": false, good + "0G": false, "ff" + good[2:] + "01": false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false, "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false,
		"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01": false, "00-0af7651916cd43dd-448eb211c80319cc-b7ad6b7169203331-01": false,
	} {
		c, ok := parseParent(text)
		if ok != want {
			t.Errorf("%q: %v, want %v", text, ok, want)
		}
		if ok && text[:2] == "00" && c.IsSampled() != (text[53:] == "01") {
			t.Errorf("%q: sampled %v", text, c.IsSampled())
		}
	}
}
