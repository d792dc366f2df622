package registry

import (
	"strings"

	"github.com/parley-bft/parley/crypto"
)

// Party is somebody who owns, signs or attests: a single key, written "key:" and 64
// hexadecimal digits, or the name of a party that was registered with m of n keys. A
// name stays when the keys change.
type Party string

const keyPrefix = "key:"

// Registrar is the party that, where it exists, must sign the registration of parties
// and the creation of collections. Only a genesis can make it.
const Registrar Party = "registrar"

// KeyParty is the party of a single key.
func KeyParty(k crypto.PublicKey) Party { return Party(keyPrefix + k.Hex()) }

// Key returns the key of the party of a single key.
func (p Party) Key() (k crypto.PublicKey, ok bool) {
	digits, ok := strings.CutPrefix(string(p), keyPrefix)
	if !ok {
		return k, false
	}
	k, err := crypto.ParsePublicKey(digits)
	return k, err == nil && k.Hex() == digits
}

// Valid tells whether p is a key's party or a name as a registered party has one.
func (p Party) Valid() bool {
	if strings.HasPrefix(string(p), keyPrefix) {
		_, ok := p.Key()
		return ok
	}
	return ValidName(string(p))
}

// MaxNameBytes is the length of the longest name of a party, collection or topic.
const MaxNameBytes = 64

// ValidName tells whether s can name a party, a collection or a topic: lower-case
// letters, digits, '-', '_' and '.', at most MaxNameBytes of them and at least one, and
// not a '.' or '-' in front.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxNameBytes || s[0] == '.' || s[0] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// validID tells whether s can be a record's id: UTF-8 without control characters.
func validID(s string) bool {
	if len(s) == 0 || strings.ToValidUTF8(s, "\x00") != s {
		return false
	}
	for _, c := range []byte(s) {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}
