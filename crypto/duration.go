package crypto

import (
	"fmt"
	"time"
)

// Duration is a time.Duration that is written as text, as in "5ms" or "1h".
type Duration time.Duration

// String is time.Duration's.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes d as [time.ParseDuration] reads it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what [time.ParseDuration] reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %q: want a number with a unit, as in 5ms, 10s or 1h", text)
	}
	*d = Duration(v)
	return nil
}
