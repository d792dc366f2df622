package chaos

import (
	"encoding/binary"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// malformed sends what no honest encoder makes (B13): cut off, too long, with
// bits flipped and counts blown up, of unknown kinds and epochs, and certificates
// whose set of signers is none.
type malformed struct{ honest }

func newMalformed(p *Puppet) Adversary { return malformed{honest{p}} }

func (a malformed) Send(to pbft.ReplicaID, m pbft.Message) {
	a.Transmit(to, m)
	if a.Rand.IntN(3) > 0 {
		return
	}
	a.did("malformed")
	if c, ok := m.(*pbft.Certificate); ok || len(a.Coalition.lore.certs) > 0 && a.Rand.IntN(4) == 0 {
		if !ok {
			c = a.Coalition.lore.certs[a.Rand.IntN(len(a.Coalition.lore.certs))]
		}
		a.Transmit(to, a.badSigners(c))
		return
	}
	a.TransmitRaw(to, a.spoiled(pbft.Encode(a.Core.Epoch, m)))
}

func (a malformed) spoiled(raw []byte) []byte {
	r := a.Rand
	switch r.IntN(7) {
	case 0:
		return raw[:r.IntN(len(raw))]
	case 1:
		return append(raw, make([]byte, 1+r.IntN(64))...)
	case 2:
		binary.BigEndian.PutUint64(raw[1:], r.Uint64()) // the epoch
	case 3:
		raw[0] = byte(r.Uint32())
	case 4:
		if len(raw) > 13 { // a length, perhaps
			binary.BigEndian.PutUint32(raw[9+r.IntN(len(raw)-13):], ^uint32(0)-uint32(r.IntN(3)))
		}
	case 5:
		return nil
	default:
		for range 1 + r.IntN(4) {
			raw = a.flipped(raw)
		}
	}
	return raw
}

// badSigners is a certificate with the same proof for another set, or for one
// that is none.
func (p *Puppet) badSigners(c *pbft.Certificate) *pbft.Certificate {
	n := p.Core.Quorums.N()
	bad := *c
	switch p.Rand.IntN(5) {
	case 0:
		bad.Signers = append(c.Signers.Clone(), 0)
	case 1:
		bad.Signers = nil
	case 2:
		bad.Signers = crypto.NewBitmap(n)
	case 3:
		bad.Signers = c.Signers.Clone()
		for i := range n {
			bad.Signers.Set(pbft.ReplicaID(i))
		}
	default:
		bad.Signers = c.Signers.Clone()
		if len(bad.Signers) > 0 {
			bad.Signers[len(bad.Signers)-1] |= 0x80
		}
	}
	return &bad
}
