package peertcp

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestValidateNamesTheField(t *testing.T) {
	c := newCluster(t, 3)
	require.NoError(t, c.config(0).Validate())
	for field, change := range map[string]func(*Config){
		"Listen":           func(c *Config) { c.Listen = "nowhere" },
		"ServerTLS":        func(c *Config) { c.ServerTLS = nil },
		"ServerTLS: Cli":   func(c *Config) { c.ServerTLS = &tls.Config{} },
		"ClientTLS":        func(c *Config) { c.ClientTLS = nil },
		"Identify":         func(c *Config) { c.Identify = nil },
		"Build":            func(c *Config) { c.Build = strings.Repeat("x", 65) },
		"Control.Messages": func(c *Config) { c.Control.Messages = -1 },
		"Bulk.Messages":    func(c *Config) { c.Bulk.Messages = -1 },
		"Control.Bytes":    func(c *Config) { c.Control.Bytes = 100 },
		"Bulk.Bytes":       func(c *Config) { c.Bulk.Bytes = 100 },
		"MaxMessage":       func(c *Config) { c.MaxMessage = -1 },
		"FrameSize":        func(c *Config) { c.FrameSize = 1 << 20 },
		"MaxHandshakes":    func(c *Config) { c.MaxHandshakes = 1 },
		"AcceptRate":       func(c *Config) { c.AcceptRate = -1 },
		"AcceptBurst":      func(c *Config) { c.AcceptBurst = -1 },
		"HandshakeTimeout": func(c *Config) { c.HandshakeTimeout = -1 },
		"PingTimeout":      func(c *Config) { c.PingTimeout = c.PingInterval },
		"BackoffMax":       func(c *Config) { c.BackoffMin, c.BackoffMax = time.Hour, time.Minute },
		"Peers[0].ID":      func(c *Config) { c.Peers[0].ID = 0 },
		"Peers[1].ID":      func(c *Config) { c.Peers[1].ID = c.Peers[0].ID },
		"Peers[1].Address": func(c *Config) { c.Peers[1].Address = "nowhere" },
	} {
		t.Run(field, func(t *testing.T) {
			cfg := c.config(0)
			change(&cfg)
			err := cfg.Validate()
			require.ErrorIs(t, err, ErrConfig)
			require.ErrorContains(t, err, ErrConfig.Error()+": "+field)
			_, err = New(cfg, &inbox{})
			require.ErrorIs(t, err, ErrConfig)
		})
	}
	_, err := New(c.config(0), nil)
	require.ErrorIs(t, err, ErrConfig)
}

func TestRepeatedFailuresAreLoggedRarely(t *testing.T) {
	var q quiet
	now := time.Unix(1000, 0)
	try := func(what string, after time.Duration, wantOK bool, wantSuppressed int) {
		t.Helper()
		now = now.Add(after)
		n, ok := q.allow(what, now)
		require.Equal(t, wantOK, ok)
		require.Equal(t, wantSuppressed, n)
	}
	try("refused", 0, true, 0)
	try("refused", time.Second, false, 0)
	try("timeout", 0, false, 0)
	try("timeout", distinctGap, true, 2)
	try("timeout", distinctGap, false, 0)
	try("timeout", repeatAfter, true, 1)
	q.reset()
	try("timeout", 0, true, 0)
}
