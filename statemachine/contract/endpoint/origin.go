package endpoint

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// What a refusal tells the operator to set.
const (
	hostsSetting   = "Config.Hosts (contractHosts in a replica's replica.json)"
	originsSetting = "Config.Origins (contractOrigins in a replica's replica.json)"
)

// hostAllowed tells whether a request may call the endpoint by this name. A page that has
// a name of its own lead to this machine is found out by it.
func (c *Config) hostAllowed(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(host)
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")) != nil || slices.Contains(c.Hosts, host)
}

// originAllowed tells whether a page of this origin may use the endpoint that it calls
// host: one that comes from the very same place, or one of Config.Origins. Browsers say
// the origin of each request that could do harm, and of every WebSocket, which no other
// rule of theirs keeps a page from opening; what is no browser says none.
func (c *Config) originAllowed(origin, host string) bool {
	if slices.Contains(c.Origins, anyOrigin) {
		return true
	}
	o, err := parseOrigin(origin)
	if err != nil {
		return false // such as "null", of a file or a frame that is to be trusted with nothing
	}
	return o == "http://"+withoutPort(host, "80") || o == "https://"+withoutPort(host, "443") || slices.Contains(c.Origins, o)
}

const anyOrigin = "*"

// parseOrigin returns an origin as browsers write it: in lower case, and without the port
// that is its scheme's.
func parseOrigin(s string) (string, error) {
	u, err := url.Parse(strings.ToLower(s))
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q is no origin", s)
	}
	switch u.Scheme {
	case "http":
		return "http://" + withoutPort(u.Host, "80"), nil
	case "https":
		return "https://" + withoutPort(u.Host, "443"), nil
	}
	return u.Scheme + "://" + u.Host, nil // of a browser's extension
}

func withoutPort(host, port string) string {
	return strings.TrimSuffix(strings.ToLower(host), ":"+port)
}

// parseNames replaces hosts and origins by what requests are compared with.
func (c *Config) parseNames() error {
	bad := func(field string, value any, remedy string) error {
		return fmt.Errorf("%w: %s is %q: %s", ErrConfig, field, value, remedy)
	}
	hosts, origins := make([]string, len(c.Hosts)), make([]string, len(c.Origins))
	for i, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, "/:*") {
			return bad(fmt.Sprintf("Hosts[%d]", i), h, "write a name without port, such as parley.example")
		}
		hosts[i] = strings.ToLower(h)
	}
	for i, s := range c.Origins {
		origins[i] = s
		if s == anyOrigin {
			continue
		}
		var err error
		if origins[i], err = parseOrigin(s); err != nil {
			return bad(fmt.Sprintf("Origins[%d]", i), s, "write scheme://host or scheme://host:port, such as https://wallet.example, or * for every page there is")
		}
	}
	c.Hosts, c.Origins = hosts, origins
	return nil
}
