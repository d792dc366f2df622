package client

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPatience(t *testing.T) {
	const retry, most = 500 * time.Millisecond, 5 * time.Second
	var p patience
	require.Equal(t, retry, p.pause(retry, most), "nothing known")
	for range 20 {
		p.took(10 * time.Millisecond)
	}
	require.Equal(t, retry, p.pause(retry, most), "a fast cluster")

	// One change of the primary is no reason to be slow at the next one.
	p.took(time.Second)
	require.Equal(t, retry, p.pause(retry, most))

	for range 50 {
		p.took(600 * time.Millisecond)
	}
	require.InDelta(t, 1800*time.Millisecond, p.pause(retry, most), float64(10*time.Millisecond), "an overloaded cluster")
	for range 50 {
		p.took(time.Minute)
	}
	require.Equal(t, 4*retry, p.pause(retry, most), "the bound")
	require.Equal(t, time.Second, p.pause(retry, time.Second), "MaxRetry")
	for range 100 {
		p.took(10 * time.Millisecond)
	}
	require.Equal(t, retry, p.pause(retry, most), "and back")
}
