package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"strconv"
)

// CommandBytes is how long a command is, without a signature.
const CommandBytes = 256

// keyDigits are the hexadecimal digits of a command's number.
const keyDigits = 16

// Command returns the command of a number: the number in 16 hexadecimal digits, an
// equals sign, and filler: what key-value examples take for "key=value".
func Command(id uint64) []byte {
	b := make([]byte, CommandBytes, CommandBytes+ed25519.SignatureSize)
	copy(b, fmt.Sprintf("%016x=", id))
	copy(b[keyDigits+1:], filler[keyDigits+1:])
	return b
}

var filler = func() (f [CommandBytes]byte) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for i, at := 0, uint32(1); i < len(f); i++ {
		at = at*1664525 + 1013904223
		f[i] = letters[(at>>16)%uint32(len(letters))]
	}
	return f
}()

// ID returns a command's number.
func ID(command []byte) (id uint64, ok bool) {
	if len(command) <= keyDigits || command[keyDigits] != '=' {
		return 0, false
	}
	id, err := strconv.ParseUint(string(command[:keyDigits]), 16, 64)
	return id, err == nil
}

// Key and Value are the parts of a command.
func Key(command []byte) string { return string(command[:keyDigits]) }

// Value is what follows the equals sign, without a signature.
func Value(command []byte) []byte { return command[keyDigits+1 : min(len(command), CommandBytes)] }

// Clients is how many identities sign commands.
const Clients = 64

// ClientKey is the key of the client that signs the command of a number. Keys come
// from fixed seeds, since only what they cost matters here.
func ClientKey(id uint64) ed25519.PrivateKey { return clientKeys[id%Clients] }

var clientKeys = func() (keys [Clients]ed25519.PrivateKey) {
	for i := range keys {
		keys[i] = Key25519("client", i)
	}
	return keys
}()

// Key25519 derives a key from what it is for and a number.
func Key25519(use string, i int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "%s-%d", use, i))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Sign appends the signature of the command's client.
func Sign(id uint64, command []byte) []byte {
	return append(command, ed25519.Sign(ClientKey(id), command)...)
}

// Verify checks a command that [Sign] made.
func Verify(signed []byte) bool {
	id, ok := ID(signed)
	if !ok || len(signed) != CommandBytes+ed25519.SignatureSize {
		return false
	}
	public := ClientKey(id).Public().(ed25519.PublicKey)
	return ed25519.Verify(public, signed[:CommandBytes], signed[CommandBytes:])
}
