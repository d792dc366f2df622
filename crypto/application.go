package crypto

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/parley-bft/parley/crypto/canon"
)

// maxGenesis bounds [Application.Genesis], in bytes.
const maxGenesis = 4 << 20

// Application says what state machine the members run, and what it starts with. It is
// part of the cluster's identity, so replicas with another application, or another
// beginning, do not talk to each other instead of diverging at the first block.
type Application struct {
	// Name is the state machine's: lower-case letters, digits, '-', '_' and '.'.
	Name string `json:"name"`

	// Genesis is the application's own description of its initial state, any JSON
	// value of at most 4 MiB, or nothing. White space between its tokens means nothing.
	Genesis json.RawMessage `json:"genesis,omitempty"`
}

func (a *Application) check() error {
	if err := checkName(a.Name); err != nil {
		return err
	}
	if len(a.Genesis) > maxGenesis {
		return fmt.Errorf("genesis has %d bytes: at most %d", len(a.Genesis), maxGenesis)
	}
	if len(a.Genesis) > 0 && !json.Valid(a.Genesis) {
		return fmt.Errorf("genesis is no JSON value: correct it, or leave it out")
	}
	return nil
}

// append appends the canonical encoding. Genesis goes in without the white space
// between its tokens: a cluster file may be indented in another way.
func (a *Application) append(b []byte) []byte {
	b = canon.AppendString(b, a.Name)
	var compact bytes.Buffer
	if err := json.Compact(&compact, a.Genesis); err != nil {
		return canon.AppendBytes(b, a.Genesis) // no JSON: check refuses it
	}
	return canon.AppendBytes(b, compact.Bytes())
}
