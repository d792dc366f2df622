package ledger

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
)

// codec writes fields, or reads them if r is set: what goes both ways is listed once.
type codec struct {
	b []byte
	r *canon.Reader
}

// fielder is something with fields.
type fielder interface{ fields(c *codec) }

// encode returns the encoding of v.
func encode(v fielder) []byte {
	c := codec{b: make([]byte, 0, 128)}
	v.fields(&c)
	return c.b
}

// decode reads v from b, all of it.
func decode(b []byte, v fielder) error {
	c := codec{r: canon.NewReader(b)}
	v.fields(&c)
	return c.r.Close()
}

func (c *codec) u8(p *uint8) {
	if c.r == nil {
		c.b = canon.AppendUint8(c.b, *p)
	} else {
		*p = c.r.Uint8()
	}
}

func (c *codec) u32(p *uint32) {
	if c.r == nil {
		c.b = canon.AppendUint32(c.b, *p)
	} else {
		*p = c.r.Uint32()
	}
}

func (c *codec) u64(p *uint64) {
	if c.r == nil {
		c.b = canon.AppendUint64(c.b, *p)
	} else {
		*p = c.r.Uint64()
	}
}

func (c *codec) i64(p *int64) {
	u := uint64(*p)
	c.u64(&u)
	*p = int64(u)
}

func (c *codec) time(p *statemachine.Time) {
	u := uint64(*p)
	c.u64(&u)
	*p = statemachine.Time(u)
}

func (c *codec) bool(p *bool) {
	if c.r == nil {
		c.b = canon.AppendBool(c.b, *p)
	} else {
		*p = c.r.Bool()
	}
}

// text is any bytes.
func (c *codec) text(p *string, most int) {
	if c.r == nil {
		c.b = canon.AppendString(c.b, *p)
	} else {
		*p = string(c.r.Bytes(most))
	}
}

func (c *codec) bytes(p *[]byte, most int) {
	if c.r == nil {
		c.b = canon.AppendBytes(c.b, *p)
	} else {
		*p = append([]byte(nil), c.r.Bytes(most)...)
	}
}

func (c *codec) fixed(p []byte) {
	if c.r == nil {
		c.b = append(c.b, p...)
	} else {
		c.r.Copy(p)
	}
}

// name reads nothing but what check accepts.
func (c *codec) name(p *string, check func(string) error) {
	c.text(p, MaxAccountName)
	if c.r != nil && c.r.Err() == nil {
		if err := check(*p); err != nil {
			c.r.Fail("%v", err)
		}
	}
}

func (c *codec) account(p *string)   { c.name(p, CheckAccountName) }
func (c *codec) asset(p *string)     { c.name(p, CheckAssetName) }
func (c *codec) reference(p *string) { c.name(p, CheckReference) }

// optional is an account or nobody.
func (c *codec) optional(p *string) {
	c.name(p, func(s string) error {
		if s == "" {
			return nil
		}
		return CheckAccountName(s)
	})
}

// amount is from 0 to MaxAmount.
func (c *codec) amount(p *uint64) {
	c.u64(p)
	if c.r != nil && *p > MaxAmount {
		c.r.Fail("amount %d", *p)
		*p = 0
	}
}

// keys are sorted, and no two are equal.
func (c *codec) keys(p *[]crypto.PublicKey, most int) {
	if c.r == nil {
		c.b = canon.AppendUint32(c.b, uint32(len(*p)))
		for i := range *p {
			c.b = append(c.b, (*p)[i][:]...)
		}
		return
	}
	*p = make([]crypto.PublicKey, c.r.Count(most, crypto.PublicKeySize))
	for i := range *p {
		c.r.Copy((*p)[i][:])
		if i > 0 && (*p)[i-1].Compare((*p)[i]) >= 0 {
			c.r.Fail("keys are not sorted")
		}
	}
}

// maxKeysEncoded bounds keys where the limits are not known.
const maxKeysEncoded = 4096
