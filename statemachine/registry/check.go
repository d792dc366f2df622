package registry

import (
	"unicode/utf8"

	"github.com/parley-bft/parley/statemachine/signed"
)

// These checks depend on nothing but the operation and the limits.

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkName(what, s string) error {
	if len(s) > MaxNameBytes {
		return refuse(CodeTooLarge, "%s has %d bytes, at most %d", what, len(s), MaxNameBytes)
	}
	if !ValidName(s) {
		return refuse(CodeMalformed, "%s is none: give lower-case letters, digits, '-', '_' and '.'", what)
	}
	return nil
}

func checkParty(what string, p Party) error {
	if !p.Valid() {
		return refuse(CodeMalformed, "%s is no party: give a name, or key: and 64 hexadecimal digits", what)
	}
	return nil
}

// optionalParty may be empty.
func optionalParty(what string, p Party) error {
	if p == "" {
		return nil
	}
	return checkParty(what, p)
}

func (l *Limits) checkRecord(as Party, collection, id string) error {
	return first(optionalParty("as", as), checkName("collection", collection), l.checkID(id))
}

func (l *Limits) checkID(id string) error {
	if len(id) > l.MaxIDBytes {
		return refuse(CodeTooLarge, "id has %d bytes, at most %d", len(id), l.MaxIDBytes)
	}
	if !validID(id) {
		return refuse(CodeMalformed, "id is none: give UTF-8 without control characters")
	}
	return nil
}

func checkText(what, s string, limit int) error {
	if len(s) > limit {
		return refuse(CodeTooLarge, "%s has %d bytes, at most %d", what, len(s), limit)
	}
	if !utf8.ValidString(s) {
		return refuse(CodeMalformed, "%s is not UTF-8", what)
	}
	return nil
}

func checkBytes(what string, b []byte, limit int) error {
	if len(b) > limit {
		return refuse(CodeTooLarge, "%s has %d bytes, at most %d", what, len(b), limit)
	}
	return nil
}

func checkThreshold(what string, t *signed.Threshold) error {
	if err := t.Validate(); err != nil {
		return refuse(CodeMalformed, "%s: %v", what, err)
	}
	return nil
}

func optionalThreshold(what string, t *signed.Threshold) error {
	if t.IsZero() {
		return nil
	}
	return checkThreshold(what, t)
}

func checkRegistered(p Party) error {
	if p == Registrar {
		return refuse(CodeMalformed, "the name %s is for the genesis to give", Registrar)
	}
	return checkName("name", string(p))
}

func (o *RegisterParty) check(l *Limits) error {
	return first(checkRegistered(o.Name), checkThreshold("keys", &o.Keys), optionalThreshold("recovery", &o.Recovery))
}

func (o *RotateParty) check(l *Limits) error {
	if !o.SetRecovery && !o.Recovery.IsZero() {
		return refuse(CodeMalformed, "a recovery is given and not to be set")
	}
	return first(checkName("name", string(o.Name)), checkThreshold("keys", &o.Keys), optionalThreshold("recovery", &o.Recovery))
}

func (o *RevokeKey) check(l *Limits) error {
	if o.Party != "" {
		if err := checkName("party", string(o.Party)); err != nil {
			return err
		}
	}
	return checkText("reason", o.Reason, maxReason)
}

func (o *CreateCollection) check(l *Limits) error {
	return first(optionalParty("as", o.As), checkName("name", o.Name), optionalParty("controller", o.Controller), o.Rules.check(),
		checkBytes("schema", o.Schema, l.MaxSchemaBytes), checkText("about", o.About, maxAbout))
}

func (o *SetCollection) check(l *Limits) error {
	return first(optionalParty("as", o.As), checkName("collection", o.Collection), optionalParty("controller", o.Controller), o.Rules.check(),
		checkText("about", o.About, maxAbout))
}

func (o *AddSchema) check(l *Limits) error {
	return first(optionalParty("as", o.As), checkName("collection", o.Collection), checkBytes("schema", o.Schema, l.MaxSchemaBytes))
}

// AnyTopic is the topic that stands for all.
const AnyTopic = "*"

func (o *SetAuthority) check(l *Limits) error {
	for _, t := range o.Topics {
		if t != AnyTopic {
			if err := checkName("topic", t); err != nil {
				return err
			}
		}
	}
	return first(optionalParty("as", o.As), checkName("collection", o.Collection), checkParty("authority", o.Authority))
}

func (o *CreateRecord) check(l *Limits) error {
	return first(l.checkRecord(o.As, o.Collection, o.ID), optionalParty("owner", o.Owner), checkBytes("data", o.Data, l.MaxDataBytes))
}

func (o *UpdateRecord) check(l *Limits) error {
	return first(l.checkRecord(o.As, o.Collection, o.ID), checkBytes("data", o.Data, l.MaxDataBytes))
}

func (o *RevokeRecord) check(l *Limits) error {
	return first(l.checkRecord(o.As, o.Collection, o.ID), checkText("reason", o.Reason, maxReason))
}

func (o *OfferRecord) check(l *Limits) error {
	return first(l.checkRecord(o.As, o.Collection, o.ID), optionalParty("to", o.To))
}

func (o *AcceptRecord) check(l *Limits) error { return l.checkRecord(o.As, o.Collection, o.ID) }

func (o *TransferRecord) check(l *Limits) error {
	return first(l.checkRecord(o.As, o.Collection, o.ID), checkParty("to", o.To))
}

func (o *Delegate) check(l *Limits) error {
	if o.ID != "" && o.Rights&MayCreate != 0 {
		return refuse(CodeMalformed, "the right to create is for a whole collection")
	}
	if o.ID != "" {
		if err := l.checkID(o.ID); err != nil {
			return err
		}
	}
	return first(optionalParty("as", o.As), checkName("collection", o.Collection), checkParty("to", o.To))
}

func (o *Attest) check(l *Limits) error {
	return first(l.checkRecord(o.As, o.Collection, o.ID), checkName("topic", o.Topic), checkBytes("statement", o.Statement, l.MaxStatementBytes))
}

func (o *RevokeAttestation) check(l *Limits) error {
	return first(l.checkRecord(o.As, o.Collection, o.ID), checkText("reason", o.Reason, maxReason))
}
