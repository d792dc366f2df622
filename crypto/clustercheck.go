package crypto

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// maxTotalWeight keeps sums of weights exact in every language's numbers.
const maxTotalWeight = 1<<53 - 1

// maxListedClients bounds the list of admitted clients.
const maxListedClients = 1 << 16

// maxName is the longest name of a cluster or member.
const maxName = 63

// Check returns an error that names the first thing wrong, where it is, and what
// to do about it. It checks everything except what needs curve arithmetic: the
// keys' validity and the proofs of possession, which package roster checks.
func (c *Cluster) Check() error {
	if err := c.check(); err != nil {
		return fmt.Errorf("cluster %q: %w", c.Name, err)
	}
	return nil
}

func (c *Cluster) check() error {
	if c.Format != ClusterFormat {
		return fmt.Errorf("format is %d, this program knows %d: use the program that wrote the file, or convert it", c.Format, ClusterFormat)
	}
	if err := checkName(c.Name); err != nil {
		return err
	}
	if c.Nonce.IsZero() {
		return fmt.Errorf("nonce is zero: write 64 random hexadecimal digits, once, and the same for all members")
	}
	switch {
	case c.Epoch < FirstEpoch:
		return fmt.Errorf("epoch is %d: the first one is %d", c.Epoch, FirstEpoch)
	case c.Epoch == FirstEpoch && c.Origin != nil:
		return fmt.Errorf("origin is given in epoch %d: leave it out, the file itself defines the cluster's id", c.Epoch)
	case c.Epoch > FirstEpoch && (c.Origin == nil || c.Origin.IsZero()):
		return fmt.Errorf("origin is missing in epoch %d: write the cluster's id", c.Epoch)
	}
	switch c.VoteScheme {
	case VoteEd25519, VoteBLS:
	case "symbolic":
		return fmt.Errorf("voteScheme is \"symbolic\", which is no signature at all and for the simulator only: write %q or %q", VoteEd25519, VoteBLS)
	default:
		return fmt.Errorf("voteScheme is %q: write %q or %q", c.VoteScheme, VoteEd25519, VoteBLS)
	}
	if err := c.Parameters.Validate(); err != nil {
		return err
	}
	if c.Application != nil {
		if err := c.Application.check(); err != nil {
			return fmt.Errorf("application: %w", err)
		}
	}
	if err := c.checkMembers(); err != nil {
		return err
	}
	return c.checkClients()
}

func (c *Cluster) checkMembers() error {
	if n := len(c.Members); n < 1 || n > MaxReplicas {
		return fmt.Errorf("%d members: a cluster has 1 to %d", n, MaxReplicas)
	}
	names := make(map[string]int)
	keys := make(map[PublicKey]string)
	blsKeys := make(map[BLSKey]string)
	addresses := make(map[string]string)
	var total uint64
	for i := range c.Members {
		m := &c.Members[i]
		if err := checkName(m.Name); err != nil {
			return fmt.Errorf("member %d: %w", i, err)
		}
		if j, twice := names[m.Name]; twice {
			return fmt.Errorf("members %d and %d are both named %q: rename one", j, i, m.Name)
		}
		names[m.Name] = i
		if m.Weight == 0 {
			return fmt.Errorf("member %q has weight 0: leave it out of the members or give it a weight", m.Name)
		}
		if m.Weight > maxTotalWeight-total {
			return fmt.Errorf("member %q has weight %d: the weights add up to 2^53 or more, use smaller ones", m.Name, m.Weight)
		}
		total += m.Weight
		for _, k := range []struct {
			purpose string
			key     PublicKey
		}{{"signingKey", m.SigningKey}, {"tlsKey", m.TLSKey}} {
			at := fmt.Sprintf("%s of %q", k.purpose, m.Name)
			if k.key.IsZero() {
				return fmt.Errorf("%s is missing: write the key that the member's key file shows", at)
			}
			if other, twice := keys[k.key]; twice {
				return fmt.Errorf("%s and %s are the same key %s: every member has its own keys, one for each purpose", other, at, k.key.Hex())
			}
			keys[k.key] = at
		}
		at := fmt.Sprintf("blsKey of %q", m.Name)
		if m.BLSKey == (BLSKey{}) {
			return fmt.Errorf("%s is missing: write the key that the member's key file shows", at)
		}
		if other, twice := blsKeys[m.BLSKey]; twice {
			return fmt.Errorf("%s and %s are the same key: every member has its own", other, at)
		}
		blsKeys[m.BLSKey] = at
		for _, a := range []struct{ purpose, address string }{
			{"peerAddress", m.PeerAddress}, {"clientAddress", m.ClientAddress},
		} {
			at := fmt.Sprintf("%s of %q", a.purpose, m.Name)
			if err := checkAddress(a.address); err != nil {
				return fmt.Errorf("%s is %q: %w", at, a.address, err)
			}
			if other, twice := addresses[a.address]; twice {
				return fmt.Errorf("%s and %s are both %s: every listener needs an address of its own", other, at, a.address)
			}
			addresses[a.address] = at
		}
	}
	f := c.FaultyWeight()
	if f == 0 || c.AllowDominant {
		return nil
	}
	for i := range c.Members {
		if m := &c.Members[i]; m.Weight > f {
			return fmt.Errorf("member %q has weight %d of %d, more than the %d that may fail: it alone could stop the cluster; "+
				"spread the weights, or set allowDominant to accept that", m.Name, m.Weight, total, f)
		}
	}
	return nil
}

func (c *Cluster) checkClients() error {
	switch c.Clients.Admission {
	case AdmitOpen:
		if len(c.Clients.Keys) > 0 {
			return fmt.Errorf("clients.admission is %q but %d keys are listed: write %q or remove the keys", AdmitOpen, len(c.Clients.Keys), AdmitList)
		}
	case AdmitList:
		if len(c.Clients.Keys) > maxListedClients {
			return fmt.Errorf("%d clients listed: at most %d", len(c.Clients.Keys), maxListedClients)
		}
	default:
		return fmt.Errorf("clients.admission is %q: write %q or %q", c.Clients.Admission, AdmitOpen, AdmitList)
	}
	members := make(map[PublicKey]string)
	for i := range c.Members {
		members[c.Members[i].SigningKey] = c.Members[i].Name
		members[c.Members[i].TLSKey] = c.Members[i].Name
	}
	seen := make(map[PublicKey]bool)
	for _, k := range c.Clients.Keys {
		if name, ok := members[k]; ok {
			return fmt.Errorf("client key %s is also a key of member %q: generate another", k.Hex(), name)
		}
		if k.IsZero() || seen[k] {
			return fmt.Errorf("client key %s is zero or listed twice: remove it", k.Hex())
		}
		seen[k] = true
	}
	return nil
}

func checkName(name string) error {
	ok := len(name) >= 1 && len(name) <= maxName
	for i := 0; ok && i < len(name); i++ {
		ch := name[i]
		alnum := 'a' <= ch && ch <= 'z' || '0' <= ch && ch <= '9'
		ok = alnum || i > 0 && strings.IndexByte("-_.", ch) >= 0
	}
	if !ok {
		return fmt.Errorf("name %q: write 1 to %d of a-z, 0-9, '-', '_', '.', the first a letter or digit", name, maxName)
	}
	return nil
}

func checkAddress(a string) error {
	host, port, err := net.SplitHostPort(a)
	if err != nil || host == "" || len(a) > 260 || strings.ContainsAny(a, " \t\r\n/") {
		return fmt.Errorf("write host:port, as in 10.0.0.1:7400 or [::1]:7400")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '0' {
		return fmt.Errorf("write a port from 1 to 65535")
	}
	return nil
}
