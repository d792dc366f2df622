package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry/schema"
	"github.com/parley-bft/parley/statemachine/signed"
)

// Genesis is what a registry starts with. The zero Genesis is an empty registry with
// default limits in which anybody may register parties and create collections.
type Genesis struct {
	// Limits are the default limits if nil.
	Limits *Limits `json:"limits,omitempty"`
	// Parties are registered from the beginning. One named "registrar" (see [Registrar])
	// decides about all further parties and collections.
	Parties []GenesisParty `json:"parties,omitempty"`
	// Collections are there from the beginning.
	Collections []GenesisCollection `json:"collections,omitempty"`
}

// GenesisParty is a party of a [Genesis].
type GenesisParty struct {
	Name     Party            `json:"name"`
	Keys     signed.Threshold `json:"keys"`
	Recovery signed.Threshold `json:"recovery,omitzero"`
}

// GenesisCollection is a collection of a [Genesis].
type GenesisCollection struct {
	Name        string             `json:"name"`
	Controller  Party              `json:"controller"`
	Rules       Rules              `json:"rules,omitempty"`
	Schema      json.RawMessage    `json:"schema,omitempty"`
	About       string             `json:"about,omitempty"`
	Authorities []GenesisAuthority `json:"authorities,omitempty"`
}

// GenesisAuthority is an authority of a [GenesisCollection].
type GenesisAuthority struct {
	Name    Party             `json:"name"`
	Topics  []string          `json:"topics"`
	Expires statemachine.Time `json:"expires,omitempty"`
}

// ErrGenesis is wrapped by every error of [Genesis.Validate] and [ParseGenesis].
var ErrGenesis = errors.New("registry genesis")

// ParseGenesis reads the JSON of a genesis and validates it; nothing is the zero
// Genesis.
func ParseGenesis(data []byte) (Genesis, error) {
	var g Genesis
	if len(data) == 0 {
		return g, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		return g, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	return g, g.Validate()
}

func (g *Genesis) limits() Limits {
	if g.Limits == nil {
		return DefaultLimits()
	}
	return *g.Limits
}

// Validate names what is wrong.
func (g *Genesis) Validate() error {
	l := g.limits()
	if err := l.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	known := make(map[Party]bool)
	for _, p := range g.Parties {
		recovery := p.Recovery
		if err := first(checkName("name", string(p.Name)), checkThreshold("keys", &p.Keys), optionalThreshold("recovery", &recovery)); err != nil {
			return wrong(err, "party %q", p.Name)
		}
		if known[p.Name] {
			return fmt.Errorf("%w: party %q is there twice", ErrGenesis, p.Name)
		}
		known[p.Name] = true
	}
	is := func(p Party) error {
		if _, ok := p.Key(); !ok && !known[p] {
			return refuse(CodeNotFound, "%q is none of the parties", p)
		}
		return nil
	}
	names := make(map[string]bool)
	for _, c := range g.Collections {
		if err := first(checkName("name", c.Name), is(c.Controller), c.Rules.check(), checkText("about", c.About, maxAbout)); err != nil {
			return wrong(err, "collection %q", c.Name)
		}
		if names[c.Name] {
			return fmt.Errorf("%w: collection %q is there twice", ErrGenesis, c.Name)
		}
		names[c.Name] = true
		if len(c.Schema) > 0 {
			if _, err := schema.Compile(c.schema(), l.schema()); err != nil {
				return fmt.Errorf("%w: collection %q: %w", ErrGenesis, c.Name, err)
			}
		}
		for _, a := range c.Authorities {
			o := SetAuthority{Collection: c.Name, Authority: a.Name, Topics: a.Topics}
			if err := first(is(a.Name), o.check(&l)); err != nil {
				return wrong(err, "authority %q of collection %q", a.Name, c.Name)
			}
			if len(a.Topics) > maxTopics {
				return fmt.Errorf("%w: authority %q of collection %q has %d topics, at most %d", ErrGenesis, a.Name, c.Name, len(a.Topics), maxTopics)
			}
		}
	}
	return nil
}

func wrong(err error, format string, args ...any) error {
	var r *refusal
	if errors.As(err, &r) {
		return fmt.Errorf("%w: %s: %s", ErrGenesis, fmt.Sprintf(format, args...), r.detail)
	}
	return fmt.Errorf("%w: %s: %w", ErrGenesis, fmt.Sprintf(format, args...), err)
}

// schema is the schema's text without the white space between its tokens: the cluster's
// identity does not cover that either.
func (c *GenesisCollection) schema() []byte {
	var b bytes.Buffer
	if json.Compact(&b, c.Schema) != nil {
		return c.Schema
	}
	return b.Bytes()
}

// found writes the initial state.
func (g *Genesis) found(t *counting, chain crypto.Digest) {
	cfg := config{Chain: chain, Limits: g.limits()}
	t.Set([]byte(keyConfig), canon.Encode(cfg.code))
	counts := Info{Parties: uint64(len(g.Parties)), Collections: uint64(len(g.Collections))}
	for _, p := range g.Parties {
		info := PartyInfo{Name: p.Name, Keys: p.Keys, Recovery: p.Recovery, Version: 1}
		t.Set(partyKey(p.Name), canon.Encode(info.code))
	}
	for _, c := range g.Collections {
		col := Collection{Name: c.Name, Controller: c.Controller, Rules: c.Rules, About: c.About}
		if len(c.Schema) > 0 {
			col.Schemas, col.Floor = 1, 1
			text := c.schema()
			digest := crypto.Hash(domainSchema, text)
			t.Set(schemaKey(c.Name, 1), text)
			t.Set(schemaDigestKey(c.Name, 1), digest[:])
		}
		t.Set(collectionKey(c.Name), canon.Encode(col.code))
		for _, a := range c.Authorities {
			topics := slices.Clone(a.Topics)
			slices.Sort(topics)
			auth := Authority{Collection: c.Name, Name: a.Name, Topics: slices.Compact(topics), Expires: a.Expires}
			t.Set(authorityKey(c.Name, a.Name), canon.Encode(auth.code))
		}
	}
	counts.Bytes = uint64(t.growth)
	t.Txn.Set([]byte(keyCounts), canon.Encode(counts.codeCounts))
}

// config is the part of the state that says by what rules it goes on. It is in the state
// so that all replicas have the same, also one that was given it by a snapshot.
type config struct {
	Chain  crypto.Digest
	Limits Limits
}

func (c *config) code(k *canon.Codec) {
	k.Fixed(c.Chain[:])
	c.Limits.code(k)
}
