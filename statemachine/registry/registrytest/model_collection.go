package registrytest

import (
	"encoding/json"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/registry"
)

// collection is one as it is, with what belongs to it.
type collection struct {
	registry.Collection
	schemas     [][]byte
	authorities map[registry.Party]registry.Authority
}

func (c *collection) add(schema []byte) {
	c.schemas = append(c.schemas, schema)
	c.Schemas++
}

func contradict(r registry.Rules) bool {
	has := func(of registry.Rules) bool { return r&of == of }
	return has(registry.CommitmentsOnly|registry.RequireData) || has(registry.NoTransfer|registry.DirectTransfer)
}

func (m *Model) createCollection(o *registry.CreateCollection, by author) outcome {
	if contradict(o.Rules) {
		return ends(registry.CodeMalformed)
	}
	if code := m.who(by.Party, by.signers); code != codeOK {
		return ends(code)
	}
	if code := m.registrar(by.signers); code != codeOK {
		return ends(code)
	}
	if m.collections[o.Name] != nil {
		return ends(registry.CodeExists)
	}
	c := &collection{Collection: registry.Collection{Name: o.Name, Controller: by.Party, Rules: o.Rules}, authorities: map[registry.Party]registry.Authority{}}
	if o.Controller != "" {
		if code := m.who(o.Controller, by.signers); o.Controller != by.Party && code != codeOK {
			return ends(code)
		}
		c.Controller = o.Controller
	}
	if len(o.Schema) > 0 {
		if !compiles(o.Schema) {
			return ends(registry.CodeBadSchema)
		}
		c.add(o.Schema)
		c.Floor = 1
	}
	m.collections[o.Name] = c
	return changed(uint64(c.Schemas), 0)
}

// controlled returns a collection that the author controls.
func (m *Model) controlled(by author, name string) (*collection, statemachine.ResultCode) {
	code, c := m.who(by.Party, by.signers), m.collections[name]
	switch {
	case code != codeOK:
		return nil, code
	case c == nil:
		return nil, registry.CodeNotFound
	case c.Controller != by.Party:
		return nil, registry.CodeUnauthorized
	}
	return c, codeOK
}

func (m *Model) setCollection(o *registry.SetCollection, by author) outcome {
	if contradict(o.Rules) {
		return ends(registry.CodeMalformed)
	}
	c, code := m.controlled(by, o.Collection)
	if code != codeOK {
		return ends(code)
	}
	if o.Controller != "" && o.Controller != c.Controller {
		if code := m.who(o.Controller, by.signers); code != codeOK {
			return ends(code)
		}
		c.Controller = o.Controller
	}
	c.Rules = o.Rules
	return changed(0, 0)
}

func (m *Model) addSchema(o *registry.AddSchema, by author) outcome {
	c, code := m.controlled(by, o.Collection)
	floor := uint32(0)
	if code == codeOK {
		floor = max(o.Floor, c.Floor, 1)
	}
	switch {
	case code != codeOK:
		return ends(code)
	case floor > c.Schemas+1:
		return ends(registry.CodeMalformed)
	case !compiles(o.Schema):
		return ends(registry.CodeBadSchema)
	}
	c.add(o.Schema)
	c.Floor = floor
	return changed(uint64(c.Schemas), 0)
}

func (m *Model) setAuthority(o *registry.SetAuthority, by author) outcome {
	c, code := m.controlled(by, o.Collection)
	switch {
	case code != codeOK:
		return ends(code)
	case !m.known(o.Authority):
		return ends(registry.CodeNotFound)
	}
	c.authorities[o.Authority] = registry.Authority{Collection: c.Name, Name: o.Authority, Topics: o.Topics, Expires: o.Expires}
	return changed(0, 0)
}

// bounds is what the workload's schemas may say of the number in data: nothing else.
type bounds struct {
	Type       string `json:"type"`
	Properties struct {
		N struct {
			Minimum, Maximum *int
		} `json:"n"`
	} `json:"properties"`
}

// compiles tells whether a schema of the workload is one.
func compiles(schema []byte) bool {
	var b bounds
	return json.Unmarshal(schema, &b) == nil && b.Type == "object"
}

// follows tells whether data follow a schema.
func follows(schema, data []byte) bool {
	var b bounds
	var d struct{ N *int }
	if json.Unmarshal(schema, &b) != nil || json.Unmarshal(data, &d) != nil || d.N == nil {
		return false
	}
	n := b.Properties.N
	return (n.Minimum == nil || *d.N >= *n.Minimum) && (n.Maximum == nil || *d.N <= *n.Maximum)
}
