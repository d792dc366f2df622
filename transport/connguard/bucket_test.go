package connguard

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever the times, a source gets no more than its burst and what has run in
// since.
func TestBucketHoldsTheRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate, burst := rapid.IntRange(1, 100).Draw(t, "rate"), rapid.IntRange(1, 100).Draw(t, "burst")
		b := newBuckets(rate, burst)
		start := time.Unix(1000, 0)
		now, taken := start, 0
		for range rapid.IntRange(1, 300).Draw(t, "connections") {
			now = now.Add(time.Duration(rapid.IntRange(-5, 50).Draw(t, "ms")) * time.Millisecond)
			if b.take("a", now) {
				taken++
			}
		}
		require.GreaterOrEqual(t, taken, 1)
		// A clock that steps back gives nothing away, forwards again what it took.
		require.LessOrEqual(t, float64(taken), float64(burst)+float64(rate)*(now.Sub(start)+1500*time.Millisecond).Seconds())
	})
}

func TestBucketsAreEachSourcesOwn(t *testing.T) {
	b, now := newBuckets(10, 2), time.Unix(1000, 0)
	require.True(t, b.take("a", now))
	require.True(t, b.take("a", now))
	require.False(t, b.take("a", now))
	require.True(t, b.take("b", now), "another one's bucket is full")
	require.False(t, b.take("a", now.Add(99*time.Millisecond)))
	require.True(t, b.take("a", now.Add(101*time.Millisecond)))
}

func TestBucketsAreBounded(t *testing.T) {
	b, now := newBuckets(10, 2), time.Unix(1000, 0)
	for i := range 2 * maxSources {
		require.True(t, b.take(fmt.Sprint(i), now))
	}
	require.Len(t, b.sources, maxSources)
	require.True(t, b.take("0", now))
	require.False(t, b.take("0", now), "those that are known stay limited")
	now = now.Add(time.Second)
	require.True(t, b.take("fresh", now))
	require.Len(t, b.sources, 1, "full buckets are forgotten")
}

func TestSource(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1:80":                 "10.0.0.1",
		"[::ffff:10.0.0.1]:80":        "10.0.0.1",
		"[2001:db8:1:2:3:4:5:6]:80":   "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:9":    "2001:db8:1:2::/64",
		"[2001:db8:1:3::1]:9":         "2001:db8:1:3::/64",
		"[fe80::1%eth0]:9":            "fe80::/64",
		"somewhere that is no socket": "somewhere that is no socket",
	} {
		require.Equal(t, want, sourceOf(textAddr(address)), address)
	}
}

type textAddr string

func (textAddr) Network() string  { return "test" }
func (a textAddr) String() string { return string(a) }

var _ net.Addr = textAddr("")
