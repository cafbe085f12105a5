package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/hookkeeper/hookkeeper/source"
	"github.com/hookkeeper/hookkeeper/toss"
)

// Variables of the checkout, beside those of the Toss source.
const (
	envTossClient = "TOSS_CLIENT_KEY"
	envTossSDK    = "TOSS_SDK_URL"
)

// checkoutConfig is the checkout that sells through one Toss source. Without a
// client key there is none.
type checkoutConfig struct {
	Source            string
	ClientKey         secret // public in truth: every page shows it
	SDKURL            string
	PublicURL         string
	Origins           []string
	Shop, Support     string
	Proxy             secret // may hold a password
	Certificate       string
	CertificateKey    string
	Authorities       string
	Hold              time.Duration
	StrictCSP         *bool
	EligibilityURL    secret // may hold a token
	EligibilitySecret secret
	Set               bool // the file has the section
}

// checkout reads the section of the file.
func (r *reader) checkout(n ast.Node) {
	c := &r.c.Checkout
	c.Set = true
	where := func(key string) string { return "checkout." + key }
	into := func(key string, s *secret) func(ast.Node) {
		return func(n ast.Node) { *s, _ = r.secret(n, where(key)) }
	}
	r.mapping(n, "checkout", keys{
		"source":          r.text(where("source"), &c.Source),
		"client_key":      r.publicKey(&c.ClientKey),
		"sdk_url":         r.text(where("sdk_url"), &c.SDKURL),
		"public_url":      r.text(where("public_url"), &c.PublicURL),
		"origins":         r.texts(where("origins"), &c.Origins),
		"shop":            r.text(where("shop"), &c.Shop),
		"support":         r.text(where("support"), &c.Support),
		"proxy":           into("proxy", &c.Proxy),
		"certificate":     r.text(where("certificate"), &c.Certificate),
		"certificate_key": r.text(where("certificate_key"), &c.CertificateKey),
		"authorities":     r.text(where("authorities"), &c.Authorities),
		"hold":            r.positive(where("hold"), &c.Hold),
		"strict_csp":      r.truth(where("strict_csp"), &c.StrictCSP),
		"eligibility": func(n ast.Node) {
			r.mapping(n, where("eligibility"), keys{
				"url":    into("eligibility.url", &c.EligibilityURL),
				"secret": into("eligibility.secret", &c.EligibilitySecret),
			})
		},
	})
}

// publicKey reads a key that is no secret: written out it draws no warning.
func (r *reader) publicKey(into *secret) func(ast.Node) {
	return func(n ast.Node) {
		s, ok := r.scalar(n, "checkout.client_key")
		if !ok {
			return
		}
		if strings.HasPrefix(s, "env:") || strings.HasPrefix(s, "file:") {
			*into, _ = r.secret(n, "checkout.client_key")
			return
		}
		*into = secret{value: s, from: "checkout.client_key", set: true}
	}
}

// checkoutFromEnvironment lays the environment over the file.
func checkoutFromEnvironment(c *config, env lookup, p *problems) {
	if s := envSecret(env, envTossClient, p); s.set && s.value != "" {
		c.Checkout.ClientKey = s
	}
	if v, ok := env(envTossSDK); ok && v != "" {
		c.Checkout.SDKURL = v
	}
}

// asked reports whether there is a checkout.
func (c *checkoutConfig) asked() bool { return c.Set || c.ClientKey.set }

// tossSource is the source that the checkout sells through.
func (c *config) tossSource() (name string, conf *sourceConfig, err error) {
	var all []string
	for _, n := range slices.Sorted(maps.Keys(c.Sources)) {
		if c.Sources[n].Sender == "toss" {
			all = append(all, n)
		}
	}
	switch name = c.Checkout.Source; {
	case name != "" && !slices.Contains(all, name):
		return "", nil, fmt.Errorf("checkout.source: there is no Toss source %q", name)
	case name != "":
	case len(all) == 0:
		return "", nil, errors.New("checkout: there is no Toss source: set TOSS_SECRET_KEY")
	case len(all) > 1:
		return "", nil, fmt.Errorf("checkout.source: say which of the Toss sources %s", strings.Join(all, ", "))
	default:
		name = all[0]
	}
	return name, c.Sources[name], nil
}

// tossConfig is what the department is built with, but for the store.
func (c *config) tossConfig() (toss.Config, error) {
	k := &c.Checkout
	name, src, err := c.tossSource()
	if err != nil {
		return toss.Config{}, err
	}
	t := toss.Config{
		Source: name, SecretKey: src.APIKey.value, ClientKey: k.ClientKey.value, APIBase: src.APIBase, SDKURL: k.SDKURL,
		PublicURL: k.PublicURL, Origins: k.Origins, Shop: k.Shop, Support: k.Support, Proxy: k.Proxy.value,
		Hold: k.Hold, StrictCSP: k.StrictCSP != nil && *k.StrictCSP, DepositSecret: source.TossDepositSecret,
	}
	if t.PublicURL == "" {
		t.PublicURL = originOf(src.PublicURL)
	}
	if err := k.certificates(&t); err != nil {
		return t, err
	}
	if k.EligibilityURL.set || k.EligibilitySecret.set {
		e := &toss.RemoteEligibility{URL: k.EligibilityURL.value, Secret: []byte(k.EligibilitySecret.value)}
		if err := e.Validate(); err != nil {
			return t, fmt.Errorf("checkout.%w", err)
		}
		t.Eligibility = e
	}
	return t, nil
}

// originOf takes scheme and host of an address.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// certificates reads the files by which Toss, or a gateway on the way, knows us
// and we know it.
func (k *checkoutConfig) certificates(t *toss.Config) error {
	if (k.Certificate == "") != (k.CertificateKey == "") {
		return errors.New("checkout.certificate: needs checkout.certificate_key, and the other way round")
	}
	if k.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(k.Certificate, k.CertificateKey)
		if err != nil {
			return fmt.Errorf("checkout.certificate: %w", err)
		}
		t.Certificate = &pair
	}
	if k.Authorities == "" {
		return nil
	}
	pem, err := os.ReadFile(k.Authorities)
	if err != nil {
		return fmt.Errorf("checkout.authorities: %w", err)
	}
	t.Roots = x509.NewCertPool()
	if !t.Roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("checkout.authorities %s: no certificate in it", k.Authorities)
	}
	return nil
}

// printed shows the section, secrets masked.
func (k *checkoutConfig) printed() yaml.MapSlice {
	var out yaml.MapSlice
	add := func(set bool, key string, value any) {
		if set {
			out = append(out, yaml.MapItem{Key: key, Value: value})
		}
	}
	add(k.Source != "", "source", k.Source)
	add(k.ClientKey.set, "client_key", mask)
	add(k.SDKURL != "", "sdk_url", maskURL(k.SDKURL))
	add(k.PublicURL != "", "public_url", maskURL(k.PublicURL))
	add(len(k.Origins) > 0, "origins", k.Origins)
	add(k.Shop != "", "shop", k.Shop)
	add(k.Support != "", "support", k.Support)
	add(k.Proxy.set, "proxy", mask)
	add(k.Certificate != "", "certificate", k.Certificate)
	add(k.CertificateKey != "", "certificate_key", k.CertificateKey)
	add(k.Authorities != "", "authorities", k.Authorities)
	add(k.Hold > 0, "hold", k.Hold.String())
	add(k.StrictCSP != nil, "strict_csp", k.StrictCSP != nil && *k.StrictCSP)
	add(k.EligibilityURL.set, "eligibility", yaml.MapSlice{{Key: "url", Value: mask}, {Key: "secret", Value: mask}})
	return out
}
