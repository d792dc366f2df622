package canon

// Codec writes a structure or reads it: one description of the fields, in order, does
// for both, so that the two cannot disagree.
//
//	func (p *point) code(c *canon.Codec) {
//		c.Uint64(&p.x)
//		c.Uint64(&p.y)
//	}
//
//	b := canon.Encode(p.code)
//	err := canon.Decode(b, p.code)
//
// As with a [Reader] the first error is remembered, and byte strings that were read
// alias the input.
type Codec struct {
	out []byte
	in  *Reader // nil while writing
}

// Encode returns what describe writes.
func Encode(describe func(*Codec)) []byte { return Append(nil, describe) }

// Append is Encode behind what is in b already.
func Append(b []byte, describe func(*Codec)) []byte {
	c := Codec{out: b}
	describe(&c)
	return c.out
}

// Decode reads b, all of it, by describe. The error wraps [ErrMalformed].
func Decode(b []byte, describe func(*Codec)) error {
	c := Codec{in: NewReader(b)}
	describe(&c)
	return c.in.Close()
}

// Reading tells whether the Codec reads; else it writes.
func (c *Codec) Reading() bool { return c.in != nil }

// Err returns the first error of reading.
func (c *Codec) Err() error {
	if c.in == nil {
		return nil
	}
	return c.in.Err()
}

// Fail makes reading fail, unless it has. While writing it does nothing: what is
// written badly is refused by whoever reads it.
func (c *Codec) Fail(format string, args ...any) {
	if c.in != nil {
		c.in.Fail(format, args...)
	}
}

// Uint8 is a byte.
func (c *Codec) Uint8(v *uint8) {
	if c.in != nil {
		*v = c.in.Uint8()
	} else {
		c.out = append(c.out, *v)
	}
}

// Bool is 1 or 0.
func (c *Codec) Bool(v *bool) {
	if c.in != nil {
		*v = c.in.Bool()
	} else {
		c.out = AppendBool(c.out, *v)
	}
}

// Uint32 is four bytes, big-endian.
func (c *Codec) Uint32(v *uint32) {
	if c.in != nil {
		*v = c.in.Uint32()
	} else {
		c.out = AppendUint32(c.out, *v)
	}
}

// Uint64 is eight bytes, big-endian.
func (c *Codec) Uint64(v *uint64) {
	if c.in != nil {
		*v = c.in.Uint64()
	} else {
		c.out = AppendUint64(c.out, *v)
	}
}

// Fixed is all of v, whose length both sides know.
func (c *Codec) Fixed(v []byte) {
	if c.in != nil {
		c.in.Copy(v)
	} else {
		c.out = append(c.out, v...)
	}
}

// Bytes is a byte string with its length; reading refuses one above limit.
func (c *Codec) Bytes(v *[]byte, limit int) {
	if c.in != nil {
		*v = c.in.Bytes(limit)
	} else {
		c.out = AppendBytes(c.out, *v)
	}
}

// String is a string as Bytes would be.
func (c *Codec) String(v *string, limit int) {
	if c.in != nil {
		*v = string(c.in.Bytes(limit))
	} else {
		c.out = AppendString(c.out, *v)
	}
}

// List is a list of at most limit elements, each of which takes at least minSize
// bytes; element describes one.
func List[T any](c *Codec, v *[]T, limit, minSize int, element func(*Codec, *T)) {
	if c.in != nil {
		n := c.in.Count(limit, minSize)
		*v = nil
		if n > 0 {
			*v = make([]T, n)
		}
	} else {
		c.out = AppendUint32(c.out, uint32(len(*v)))
	}
	for i := range *v {
		if c.Err() != nil {
			return
		}
		element(c, &(*v)[i])
	}
}
