package ledger

import (
	"errors"
	"fmt"
)

// The longest names and texts, in bytes.
const (
	MaxAccountName = 64
	MaxAssetName   = 32
	MaxReference   = 64
	MaxMemo        = 256
)

// ErrName is wrapped by the errors for names that no account, asset or reference has.
var ErrName = errors.New("name")

// CheckAccountName says what is wrong with the name of an account: lower-case letters,
// digits, and . _ - / @ after the first character.
func CheckAccountName(s string) error { return checkName("account", s, MaxAccountName, false) }

// CheckAssetName says what is wrong with the name of an asset: letters, digits, and
// . _ - / @ after the first character.
func CheckAssetName(s string) error { return checkName("asset", s, MaxAssetName, true) }

// CheckReference says what is wrong with the reference of a hold or an offer; it is
// written like the name of an asset.
func CheckReference(s string) error { return checkName("reference", s, MaxReference, true) }

// Names contain no zero byte: the keys of the state rely on it.
func checkName(what, s string, most int, upper bool) error {
	if s == "" || len(s) > most {
		return fmt.Errorf("%s %w %q has %d characters: give 1 to %d", what, ErrName, s, len(s), most)
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', upper && c >= 'A' && c <= 'Z':
		case i > 0 && (c == '.' || c == '_' || c == '-' || c == '/' || c == '@'):
		default:
			letters := "lower-case letters"
			if upper {
				letters = "letters"
			}
			return fmt.Errorf("%s %w %q: write it with %s, digits, and after the first character . _ - / @", what, ErrName, s, letters)
		}
	}
	return nil
}
