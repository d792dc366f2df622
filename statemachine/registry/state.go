package registry

import (
	"strings"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry/disclosure"
	"github.com/parley-bft/parley/statemachine/signed"
)

// The types of this file are entries of the state, and what reads answer with.

// Stamp says in which block something happened, and when.
type Stamp struct {
	Height uint64            `json:"height"`
	Time   statemachine.Time `json:"time"`
}

func (s *Stamp) code(c *canon.Codec) {
	c.Uint64(&s.Height)
	c.Uint64((*uint64)(&s.Time))
}

// PartyInfo is a registered party.
type PartyInfo struct {
	Name Party `json:"name"`
	// Keys are who signs for it now.
	Keys signed.Threshold `json:"keys"`
	// Recovery may change Keys, and itself. Nobody if it is zero.
	Recovery signed.Threshold `json:"recovery"`
	// Revoked are keys that were taken from it because they are not to be trusted.
	Revoked []RevokedKey `json:"revoked,omitempty"`
	// Version counts its changes, from 1.
	Version    uint64 `json:"version"`
	Registered Stamp  `json:"registered"`
	Changed    Stamp  `json:"changed"`
}

func (p *PartyInfo) code(c *canon.Codec) {
	codeParty(c, &p.Name)
	p.Keys.Code(c)
	p.Recovery.Code(c)
	canon.List(c, &p.Revoked, maxRevokedKeys, crypto.PublicKeySize+8+16+4+16+8, func(c *canon.Codec, k *RevokedKey) { k.code(c) })
	c.Uint64(&p.Version)
	p.Registered.code(c)
	p.Changed.code(c)
}

// RevokedKey is a key that signs no more.
type RevokedKey struct {
	Key crypto.PublicKey `json:"key"`
	// Since is the block time from which on nothing that it signed is to be trusted: not
	// after At, and before it if the key was in wrong hands for a while.
	Since  statemachine.Time `json:"since"`
	At     Stamp             `json:"at"`
	Reason string            `json:"reason,omitempty"`
	// First is when it was revoked, and FirstSince what was said then: At and Since, unless
	// it was said later that the key was not to be trusted even before.
	First      Stamp             `json:"first"`
	FirstSince statemachine.Time `json:"firstSince"`
}

func (k *RevokedKey) code(c *canon.Codec) {
	c.Fixed(k.Key[:])
	c.Uint64((*uint64)(&k.Since))
	k.At.code(c)
	c.String(&k.Reason, maxReason)
	k.First.code(c)
	c.Uint64((*uint64)(&k.FirstSince))
}

// Collection is a set of records under common rules.
type Collection struct {
	Name string `json:"name"`
	// Controller adds schemas, names authorities and, unless the rules are open, has
	// records created.
	Controller Party `json:"controller"`
	Rules      Rules `json:"rules"`
	// Schemas is the number of its latest schema, 0 if it has none: then data are any
	// bytes. Writes may name a schema from Floor on.
	Schemas uint32 `json:"schemas"`
	Floor   uint32 `json:"floor"`
	Records uint64 `json:"records"`
	About   string `json:"about,omitempty"`
	Created Stamp  `json:"created"`
	Changed Stamp  `json:"changed"`
}

func (o *Collection) code(c *canon.Codec) {
	c.String(&o.Name, MaxNameBytes)
	codeParty(c, &o.Controller)
	o.Rules.code(c)
	c.Uint32(&o.Schemas)
	c.Uint32(&o.Floor)
	c.Uint64(&o.Records)
	c.String(&o.About, maxAbout)
	o.Created.code(c)
	o.Changed.code(c)
}

// Authority is a party that may attest records of a collection.
type Authority struct {
	Collection string `json:"collection"`
	Name       Party  `json:"name"`
	// Topics are what it may attest; none if it may nothing any more.
	Topics []string `json:"topics"`
	// Expires is the block time from which on it may nothing, 0 for never.
	Expires statemachine.Time `json:"expires"`
	Changed Stamp             `json:"changed"`
}

func (a *Authority) code(c *canon.Codec) {
	c.String(&a.Collection, MaxNameBytes)
	codeParty(c, &a.Name)
	codeTopics(c, &a.Topics)
	c.Uint64((*uint64)(&a.Expires))
	a.Changed.code(c)
}

// Record is where a record stands.
type Record struct {
	Collection string `json:"collection"`
	ID         string `json:"id"`
	Owner      Party  `json:"owner"`
	// Version is the number of its latest version, and Digest that version's.
	Version uint64        `json:"version"`
	Digest  crypto.Digest `json:"digest"`
	// Content is the version whose data and commitment are the present ones.
	Content uint64 `json:"content"`
	Revoked bool   `json:"revoked"`
	// Offer is to whom it is offered, if to anybody.
	Offer Offer `json:"offer"`
	// Attestations is how many were made.
	Attestations uint64 `json:"attestations"`
	Created      Stamp  `json:"created"`
}

func (o *Record) code(c *canon.Codec) {
	c.String(&o.Collection, MaxNameBytes)
	c.String(&o.ID, huge)
	codeParty(c, &o.Owner)
	c.Uint64(&o.Version)
	c.Fixed(o.Digest[:])
	c.Uint64(&o.Content)
	c.Bool(&o.Revoked)
	codeParty(c, &o.Offer.To)
	c.Uint64((*uint64)(&o.Offer.Expires))
	c.Uint64(&o.Attestations)
	o.Created.code(c)
}

// Offer is a transfer that the receiver has not accepted yet.
type Offer struct {
	To Party `json:"to,omitempty"`
	// Expires is the block time from which on it is void, 0 for never.
	Expires statemachine.Time `json:"expires,omitempty"`
}

// Action is what made a version.
type Action uint8

// The actions. The numbers are part of the encoding.
const (
	Created     Action = 1
	Updated     Action = 2
	Transferred Action = 3
	Revoked     Action = 4
)

// String names the action.
func (a Action) String() string {
	switch a {
	case Created:
		return "created"
	case Updated:
		return "updated"
	case Transferred:
		return "transferred"
	case Revoked:
		return "revoked"
	}
	return "unknown"
}

// MarshalText returns the name.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Version is one step in the history of a record. All of them are kept.
type Version struct {
	Number uint64 `json:"number"`
	Action Action `json:"action"`
	// Owner is who owned the record after it.
	Owner Party `json:"owner"`
	// Author is who did it, and Keys those that signed for the author.
	Author Party              `json:"author"`
	Keys   []crypto.PublicKey `json:"keys"`
	At     Stamp              `json:"at"`
	// Content is the version whose data and commitment are those of this one: itself if
	// it was created or updated.
	Content uint64 `json:"content"`
	// Schema is the number of the schema that Data follow.
	Schema     uint32        `json:"schema"`
	Data       []byte        `json:"-"`
	Commitment crypto.Digest `json:"commitment"`
	Reason     string        `json:"reason,omitempty"`
	// Previous is the digest of the version before, so that the latest digest covers the
	// whole history.
	Previous crypto.Digest `json:"previous"`
	// Compromised is the time since when one of Keys is not to be trusted, if that is not
	// after the version was made, and 0 otherwise. Answers have it; the state, the digest and
	// proofs do not, since keys are revoked later.
	Compromised statemachine.Time `json:"compromised,omitempty"`
}

func (v *Version) code(c *canon.Codec) {
	c.Uint64(&v.Number)
	c.Uint8((*uint8)(&v.Action))
	codeParty(c, &v.Owner)
	codeParty(c, &v.Author)
	signed.CodeKeys(c, &v.Keys)
	v.At.code(c)
	c.Uint64(&v.Content)
	c.Uint32(&v.Schema)
	c.Bytes(&v.Data, huge)
	c.Fixed(v.Commitment[:])
	c.String(&v.Reason, maxReason)
	c.Fixed(v.Previous[:])
}

// answer is the encoding in answers.
func (v *Version) answer(c *canon.Codec) {
	v.code(c)
	c.Uint64((*uint64)(&v.Compromised))
}

const domainVersion = crypto.Domain("parley/registry-version")

// Digest covers everything in a version of a record, and through Previous all versions
// before it.
func (v *Version) Digest(collection, id string) crypto.Digest {
	name := canon.AppendString(canon.AppendString(nil, collection), id)
	return crypto.Hash(domainVersion, name, canon.Encode(v.code))
}

// Attestation is what an authority says of a version of a record.
type Attestation struct {
	Collection string `json:"collection"`
	ID         string `json:"id"`
	// Number counts the attestations of the record, from 1.
	Number    uint64 `json:"number"`
	Authority Party  `json:"authority"`
	// Keys are those that signed for the authority.
	Keys  []crypto.PublicKey `json:"keys"`
	Topic string             `json:"topic"`
	// Version and Digest are those of the version that it is about.
	Version   uint64        `json:"version"`
	Digest    crypto.Digest `json:"digest"`
	Statement []byte        `json:"-"`
	// Expires is the block time from which on it is void, 0 for never.
	Expires statemachine.Time `json:"expires"`
	At      Stamp             `json:"at"`
	// RevokedBy took it back, at Revoked.
	RevokedBy Party  `json:"revokedBy,omitempty"`
	Revoked   Stamp  `json:"revoked"`
	Reason    string `json:"reason,omitempty"`
	// Compromised is the time since when one of Keys is not to be trusted, if that is not
	// after the attestation was made, and 0 otherwise. Answers have it; the state does not,
	// since keys are revoked later.
	Compromised statemachine.Time `json:"compromised,omitempty"`
}

func (a *Attestation) code(c *canon.Codec) {
	c.String(&a.Collection, MaxNameBytes)
	c.String(&a.ID, huge)
	c.Uint64(&a.Number)
	codeParty(c, &a.Authority)
	signed.CodeKeys(c, &a.Keys)
	c.String(&a.Topic, MaxNameBytes)
	c.Uint64(&a.Version)
	c.Fixed(a.Digest[:])
	c.Bytes(&a.Statement, huge)
	c.Uint64((*uint64)(&a.Expires))
	a.At.code(c)
	codeParty(c, &a.RevokedBy)
	a.Revoked.code(c)
	c.String(&a.Reason, maxReason)
	c.Uint64((*uint64)(&a.Compromised))
}

// AttestationStatus says what an attestation is worth.
type AttestationStatus string

// The statuses.
const (
	AttestationValid       AttestationStatus = "valid"
	AttestationExpired     AttestationStatus = "expired"
	AttestationRevoked     AttestationStatus = "revoked"
	AttestationCompromised AttestationStatus = "made with a key that was not to be trusted"
)

// Status is what an attestation that was read is worth at a time.
func (a *Attestation) Status(at statemachine.Time) AttestationStatus {
	switch {
	case a.RevokedBy != "" && a.Revoked.Time <= at:
		return AttestationRevoked
	case a.Compromised != 0:
		return AttestationCompromised
	case a.Expires != 0 && a.Expires <= at:
		return AttestationExpired
	}
	return AttestationValid
}

// Delegation lets To do for From what Rights say: with one record of a collection, or,
// if ID is empty, with all that From has there.
type Delegation struct {
	Collection string            `json:"collection"`
	ID         string            `json:"id,omitempty"`
	From       Party             `json:"from"`
	To         Party             `json:"to"`
	Rights     Rights            `json:"rights"`
	Expires    statemachine.Time `json:"expires"`
	At         Stamp             `json:"at"`
}

func (d *Delegation) code(c *canon.Codec) {
	c.String(&d.Collection, MaxNameBytes)
	c.String(&d.ID, huge)
	codeParty(c, &d.From)
	codeParty(c, &d.To)
	d.Rights.code(c)
	c.Uint64((*uint64)(&d.Expires))
	d.At.code(c)
}

// Info is about the registry as a whole.
type Info struct {
	// Chain is the digest that signatures are bound to.
	Chain       crypto.Digest `json:"chain"`
	Limits      Limits        `json:"limits"`
	Parties     uint64        `json:"parties"`
	Collections uint64        `json:"collections"`
	Records     uint64        `json:"records"`
	// Bytes is the size of the state, as [Limits.MaxStateBytes] counts it.
	Bytes uint64 `json:"bytes"`
}

func (i *Info) code(c *canon.Codec) {
	c.Fixed(i.Chain[:])
	i.Limits.code(c)
	i.codeCounts(c)
}

func (i *Info) codeCounts(c *canon.Codec) {
	c.Uint64(&i.Parties)
	c.Uint64(&i.Collections)
	c.Uint64(&i.Records)
	c.Uint64(&i.Bytes)
}

// Bounds of what has no limit of its own.
const (
	huge           = 1<<31 - 1
	maxReason      = 256
	maxAbout       = 1024
	maxTopics      = 64
	maxRevokedKeys = 256
	maxParty       = len(keyPrefix) + 2*crypto.PublicKeySize
)

func codeParty(c *canon.Codec, p *Party) { c.String((*string)(p), maxParty) }

// codeTopics describes a list of names in ascending order, none twice.
func codeTopics(c *canon.Codec, topics *[]string) {
	canon.List(c, topics, maxTopics, 4, func(c *canon.Codec, t *string) { c.String(t, MaxNameBytes) })
	for i := 1; i < len(*topics); i++ {
		if (*topics)[i-1] >= (*topics)[i] {
			c.Fail("topics are not in ascending order")
		}
	}
}

// The keys of the state. Names contain no '/', ids and parties no zero byte.
const (
	keyConfig = "config"
	keyCounts = "counts"
)

func partyKey(p Party) []byte              { return []byte("p/" + string(p)) }
func revokedKey(k crypto.PublicKey) []byte { return append([]byte("k/"), k[:]...) }
func collectionKey(name string) []byte     { return []byte("c/" + name) }

func schemaKey(collection string, number uint32) []byte {
	return canon.AppendUint32([]byte("s/"+collection+"/"), number)
}

// schemaDigestKey has the digest of a schema's text, by which it is found compiled.
func schemaDigestKey(collection string, number uint32) []byte {
	return canon.AppendUint32([]byte("h/"+collection+"/"), number)
}

func authorityKey(collection string, p Party) []byte {
	return []byte("u/" + collection + "/" + string(p))
}

// RecordKey is where the state has a record: what a proof of it is asked for with. An
// application that shares the store has a prefix in front.
func RecordKey(collection, id string) []byte { return []byte("r/" + collection + "/" + id) }

// VersionKey is where the state has a version of a record.
func VersionKey(collection, id string, number uint64) []byte {
	return canon.AppendUint64([]byte("v/"+collection+"/"+id+"\x00"), number)
}

func commitmentKey(collection, id string, number uint64) []byte {
	return disclosure.CommitmentKey("", collection, id, number)
}

func attestationKey(collection, id string, number uint64) []byte {
	return canon.AppendUint64([]byte("a/"+collection+"/"+id+"\x00"), number)
}

func ownedKey(p Party, collection, id string) []byte {
	return []byte("o/" + string(p) + "\x00" + collection + "/" + id)
}

func delegationKey(collection, id string, from, to Party) []byte {
	return []byte(strings.Join([]string{"d/" + collection + "/" + id, string(from), string(to)}, "\x00"))
}
