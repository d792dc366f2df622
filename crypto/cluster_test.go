package crypto_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
)

// testCluster has made-up keys: package crypto does not look inside.
func testCluster(weights ...uint64) *crypto.Cluster {
	c := &crypto.Cluster{
		Format: crypto.ClusterFormat, Name: "test", Nonce: crypto.Hash("nonce"), Epoch: crypto.FirstEpoch,
		VoteScheme: crypto.VoteEd25519, Parameters: crypto.DefaultParameters(),
		Clients: crypto.Clients{Admission: crypto.AdmitOpen},
	}
	for i, w := range weights {
		d := func(purpose string) crypto.Digest { return crypto.Hash(crypto.Domain(purpose), []byte{byte(i)}) }
		keys := crypto.MemberKeys{Signing: crypto.PublicKey(d("signing")), TLS: crypto.PublicKey(d("tls"))}
		b, p := d("bls"), d("proof")
		copy(keys.BLS[:], b[:])
		copy(keys.Proof[:], p[:])
		m := keys.Member(fmt.Sprintf("r%d", i), fmt.Sprintf("127.0.0.1:%d", 7000+i), fmt.Sprintf("[::1]:%d", 7000+i))
		m.Weight = w
		c.Members = append(c.Members, m)
	}
	return c
}

func TestClusterFile(t *testing.T) {
	c := testCluster(1, 1, 1, 1)
	require.NoError(t, c.Check())
	path := filepath.Join(t.TempDir(), "cluster.json")
	require.NoError(t, c.Write(path))
	back, err := crypto.LoadCluster(path)
	require.NoError(t, err)
	require.Equal(t, c, back)
	require.Equal(t, c.ID(), back.ID())

	c.Name = "other"
	require.NoError(t, c.Write(path), "a second time")
	back, err = crypto.LoadCluster(path)
	require.NoError(t, err)
	require.Equal(t, "other", back.Name)
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file is left")

	c.Name = "Not A Name"
	require.Error(t, c.Write(path))
	_, err = crypto.LoadCluster(path)
	require.NoError(t, err, "untouched by a cluster that is not valid")
	_, err = crypto.LoadCluster(path + ".missing")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestDefaultWeightIsOne(t *testing.T) {
	data, err := testCluster(1, 1, 1, 1).Encode()
	require.NoError(t, err)
	without := bytes.ReplaceAll(data, []byte("\"weight\": 1,\n"), nil)
	require.NotEqual(t, data, without)
	c, err := crypto.ParseCluster(without)
	require.NoError(t, err)
	require.Equal(t, uint64(4), c.TotalWeight())
}

func TestClusterFileIsStrict(t *testing.T) {
	data, err := testCluster(1, 1, 1, 1).Encode()
	require.NoError(t, err)
	text := string(data)
	for name, bad := range map[string]string{
		"empty":              "",
		"null":               "null",
		"array":              "[]",
		"truncated":          text[:len(text)/2],
		"second value":       text + "{}",
		"newer":              strings.Replace(text, `"format": 1`, `"format": 2`, 1),
		"no format":          strings.Replace(text, `"format": 1,`, ``, 1),
		"unknown field":      strings.Replace(text, `"format": 1,`, `"format": 1, "quorum": 3,`, 1),
		"unknown parameter":  strings.Replace(text, `"window": 32`, `"window": 32, "windows": 32`, 1),
		"unknown of member":  strings.Replace(text, `"weight": 1,`, `"weight": 1, "wait": 1,`, 1),
		"twice":              strings.Replace(text, `"window": 32,`, `"window": 32, "window": 32,`, 1),
		"twice in a member":  strings.Replace(text, `"weight": 1,`, `"weight": 1, "Weight": 2,`, 1),
		"float":              strings.Replace(text, `"window": 32`, `"window": 32.5`, 1),
		"negative":           strings.Replace(text, `"window": 32`, `"window": -32`, 1),
		"duration as number": strings.Replace(text, `"250ms"`, `5`, 1),
		"short key":          strings.Replace(text, `"signingKey": "`, `"signingKey": "00`, 1),
		"deep":               strings.Replace(text, `"test"`, strings.Repeat("[", 100)+strings.Repeat("]", 100), 1),
		"too long":           text + strings.Repeat(" ", crypto.MaxClusterFile),
	} {
		require.NotEqual(t, text, bad, name)
		_, err := crypto.ParseCluster([]byte(bad))
		require.ErrorIs(t, err, crypto.ErrMalformed, name)
		for _, inner := range []string{"Go ", "json:", "struct", "uint64", "encoding/hex"} {
			require.NotContains(t, err.Error(), inner, name)
		}
	}
}

// Errors are for whoever edits the file: field, value, remedy.
func TestClusterFileErrorsNameFieldValueAndRemedy(t *testing.T) {
	data, err := testCluster(1, 1, 1, 1).Encode()
	require.NoError(t, err)
	for edit, want := range map[[2]string]string{
		{`"window": 32`, `"window": "32"`}:          `parameters.window is "32": write a whole number from 0 to 18446744073709551615, without quotes`,
		{`"250ms"`, `5`}:                            `parameters.minCheckpointGap is 5: write text in quotes`,
		{`"250ms"`, `"5"`}:                          `parameters.minCheckpointGap is "5": duration "5": want a number with a unit`,
		{`"signingKey": "`, `"signingKey": "00`}:    `want 64 hexadecimal digits, have 66 characters`,
		{`"weight": 1`, `"weight": true`}:           `members[0].weight is true: write a whole number`,
		{`"weight": 1,`, `"weight": 1, "wait": 2,`}: `unknown field "members[0].wait": correct its name or remove it; known here are: name, weight`,
		{`"format": 1`, `"format": "1"`}:            `format is "1": write a whole number`,
		{`"format": 1,`, `"format": 1`}:             `line 3, column 3: not JSON: invalid character '"'`,
	} {
		bad := strings.Replace(string(data), edit[0], edit[1], 1)
		require.NotEqual(t, string(data), bad, edit[0])
		_, err := crypto.ParseCluster([]byte(bad))
		require.ErrorIs(t, err, crypto.ErrMalformed, want)
		require.ErrorContains(t, err, want)
	}
}

// Every field that is not an address changes the digest; the addresses do not.
func TestDigestCoversEverythingButAddresses(t *testing.T) {
	base := testCluster(1, 1, 1, 1)
	base.Clients = crypto.Clients{Admission: crypto.AdmitList, Keys: []crypto.PublicKey{{1}, {2}}}
	id := base.Digest()
	seen := map[crypto.Digest]string{id: "base"}
	for name, change := range map[string]func(*crypto.Cluster){
		"name":            func(c *crypto.Cluster) { c.Name = "x" },
		"format":          func(c *crypto.Cluster) { c.Format++ },
		"nonce":           func(c *crypto.Cluster) { c.Nonce[31]++ },
		"epoch":           func(c *crypto.Cluster) { c.Epoch++ },
		"origin":          func(c *crypto.Cluster) { c.Origin = &crypto.Digest{} },
		"scheme":          func(c *crypto.Cluster) { c.VoteScheme = crypto.VoteBLS },
		"dominant":        func(c *crypto.Cluster) { c.AllowDominant = true },
		"window":          func(c *crypto.Cluster) { c.Parameters.Window++ },
		"checkpoint":      func(c *crypto.Cluster) { c.Parameters.CheckpointEvery++ },
		"log":             func(c *crypto.Cluster) { c.Parameters.LogMax++ },
		"block":           func(c *crypto.Cluster) { c.Parameters.MaxBlockBytes++ },
		"requests":        func(c *crypto.Cluster) { c.Parameters.MaxBlockRequests++ },
		"operation":       func(c *crypto.Cluster) { c.Parameters.MaxOperationBytes++ },
		"operations":      func(c *crypto.Cluster) { c.Parameters.MaxRequestOperations++ },
		"gap":             func(c *crypto.Cluster) { c.Parameters.MinCheckpointGap++ },
		"ahead":           func(c *crypto.Cluster) { c.Parameters.MaxAhead++ },
		"life":            func(c *crypto.Cluster) { c.Parameters.MaxRequestLife++ },
		"in flight":       func(c *crypto.Cluster) { c.Parameters.MaxInFlight++ },
		"sessions":        func(c *crypto.Cluster) { c.Parameters.MaxSessions++ },
		"member's name":   func(c *crypto.Cluster) { c.Members[2].Name = "x" },
		"weight":          func(c *crypto.Cluster) { c.Members[2].Weight++ },
		"signing key":     func(c *crypto.Cluster) { c.Members[2].SigningKey[0]++ },
		"TLS key":         func(c *crypto.Cluster) { c.Members[2].TLSKey[0]++ },
		"BLS key":         func(c *crypto.Cluster) { c.Members[2].BLSKey[0]++ },
		"BLS proof":       func(c *crypto.Cluster) { c.Members[2].BLSProof[0]++ },
		"order":           func(c *crypto.Cluster) { c.Members[0], c.Members[1] = c.Members[1], c.Members[0] },
		"one member less": func(c *crypto.Cluster) { c.Members = c.Members[:3] },
		"admission":       func(c *crypto.Cluster) { c.Clients.Admission = crypto.AdmitOpen },
		"client":          func(c *crypto.Cluster) { c.Clients.Keys[1][0]++ },
		"client less":     func(c *crypto.Cluster) { c.Clients.Keys = c.Clients.Keys[:1] },
	} {
		c := *base
		c.Members = append([]crypto.Member(nil), base.Members...)
		c.Clients.Keys = append([]crypto.PublicKey(nil), base.Clients.Keys...)
		change(&c)
		other, twice := seen[c.Digest()]
		require.False(t, twice, "%s: same digest as %s", name, other)
		seen[c.Digest()] = name
	}
	for i := range base.Members {
		base.Members[i].PeerAddress, base.Members[i].ClientAddress = "10.0.0.1:1", "10.0.0.2:2"
	}
	require.Equal(t, id, base.Digest())
}

func TestIDOutlivesEpochs(t *testing.T) {
	c := testCluster(1, 1, 1, 1)
	next := c.Next()
	next.Members[0].Weight = 2
	next.AllowDominant = true
	require.NoError(t, next.Check())
	require.Equal(t, uint64(2), next.Epoch)
	require.Equal(t, c.ID(), next.ID())
	require.NotEqual(t, c.Digest(), next.Digest())
	require.Equal(t, c.ID(), next.Next().ID())
	require.Equal(t, uint64(1), c.Members[0].Weight, "the old one is untouched")

	data, err := next.Encode()
	require.NoError(t, err)
	back, err := crypto.ParseCluster(data)
	require.NoError(t, err)
	require.Equal(t, next, back)
}

func TestClusterCheckNamesWhatIsWrong(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, x := range []struct {
		change func(*crypto.Cluster)
		names  []string
	}{
		{func(c *crypto.Cluster) { c.Format = 9 }, []string{"format", "9"}},
		{func(c *crypto.Cluster) { c.Name = "" }, []string{"name"}},
		{func(c *crypto.Cluster) { c.Name = long }, []string{"name", long}},
		{func(c *crypto.Cluster) { c.Nonce = crypto.Digest{} }, []string{"nonce", "random"}},
		{func(c *crypto.Cluster) { c.Epoch = 0 }, []string{"epoch is 0"}},
		{func(c *crypto.Cluster) { c.Epoch = 2 }, []string{"origin is missing"}},
		{func(c *crypto.Cluster) { c.Origin = &crypto.Digest{1} }, []string{"origin is given"}},
		{func(c *crypto.Cluster) { c.VoteScheme = "symbolic" }, []string{"symbolic", "simulator only", `"bls"`}},
		{func(c *crypto.Cluster) { c.VoteScheme = "rsa" }, []string{`"rsa"`, `"ed25519"`}},
		{func(c *crypto.Cluster) { c.Parameters.Window = 0 }, []string{"window is 0", "from 1"}},
		{func(c *crypto.Cluster) { c.Parameters.LogMax = 2079 }, []string{"logMax is 2079", "2080"}},
		{func(c *crypto.Cluster) { c.Parameters.MaxOperationBytes = 1 << 20 }, []string{"maxOperationBytes is 1048576"}},
		{func(c *crypto.Cluster) { c.Parameters.MaxInFlight = 65 }, []string{"maxInFlight is 65", "multiple of 64"}},
		{func(c *crypto.Cluster) { c.Parameters.MaxAhead = 0 }, []string{"maxAhead is 0s", "10ms"}},
		{func(c *crypto.Cluster) { c.Parameters.MaxRequestLife = crypto.Duration(1000 * time.Hour) }, []string{"maxRequestLife is 1000h"}},
		{func(c *crypto.Cluster) { c.Members = nil }, []string{"0 members"}},
		{func(c *crypto.Cluster) { c.Members = make([]crypto.Member, crypto.MaxReplicas+1) }, []string{"257 members"}},
		{func(c *crypto.Cluster) { c.Members[1].Name = "r0" }, []string{"members 0 and 1", "r0"}},
		{func(c *crypto.Cluster) { c.Members[1].Name = "-r" }, []string{"member 1", "-r"}},
		{func(c *crypto.Cluster) { c.Members[1].Weight = 0 }, []string{`"r1"`, "weight 0"}},
		{func(c *crypto.Cluster) { c.Members[1].Weight = 2 }, []string{`"r1"`, "weight 2 of 5", "allowDominant"}},
		{func(c *crypto.Cluster) { c.Members[1].Weight = 1 << 63 }, []string{`"r1"`, "2^53"}},
		{func(c *crypto.Cluster) { c.Members[3].Weight = 1<<53 - 3 }, []string{`"r3"`, "2^53"}},
		{func(c *crypto.Cluster) { c.Members[1].TLSKey = c.Members[0].SigningKey }, []string{`signingKey of "r0"`, `tlsKey of "r1"`}},
		{func(c *crypto.Cluster) { c.Members[1].TLSKey = c.Members[1].SigningKey }, []string{`signingKey of "r1"`, `tlsKey of "r1"`}},
		{func(c *crypto.Cluster) { c.Members[1].SigningKey = crypto.PublicKey{} }, []string{`signingKey of "r1"`, "missing"}},
		{func(c *crypto.Cluster) { c.Members[1].BLSKey = crypto.BLSKey{} }, []string{`blsKey of "r1"`, "missing"}},
		{func(c *crypto.Cluster) { c.Members[1].BLSKey = c.Members[0].BLSKey }, []string{`blsKey of "r0"`, `blsKey of "r1"`}},
		{func(c *crypto.Cluster) { c.Members[1].PeerAddress = c.Members[0].ClientAddress }, []string{`clientAddress of "r0"`, `peerAddress of "r1"`}},
		{func(c *crypto.Cluster) { c.Members[1].PeerAddress = "" }, []string{`peerAddress of "r1"`, "host:port"}},
		{func(c *crypto.Cluster) { c.Members[1].PeerAddress = "host" }, []string{"host:port"}},
		{func(c *crypto.Cluster) { c.Members[1].PeerAddress = ":80" }, []string{"host:port"}},
		{func(c *crypto.Cluster) { c.Members[1].PeerAddress = "a:0" }, []string{"1 to 65535"}},
		{func(c *crypto.Cluster) { c.Members[1].PeerAddress = "a:http" }, []string{"1 to 65535"}},
		{func(c *crypto.Cluster) { c.Members[1].PeerAddress = "a:070" }, []string{"1 to 65535"}},
		{func(c *crypto.Cluster) { c.Clients.Admission = "" }, []string{"clients.admission", `"open"`}},
		{func(c *crypto.Cluster) { c.Clients.Keys = []crypto.PublicKey{{1}} }, []string{"1 keys are listed"}},
		{func(c *crypto.Cluster) {
			c.Clients = crypto.Clients{Admission: "list", Keys: []crypto.PublicKey{{1}, {1}}}
		}, []string{"twice"}},
		{func(c *crypto.Cluster) {
			c.Clients = crypto.Clients{Admission: "list", Keys: []crypto.PublicKey{c.Members[0].TLSKey}}
		}, []string{`member "r0"`}},
	} {
		c := testCluster(1, 1, 1, 1)
		x.change(c)
		err := c.Check()
		for _, name := range x.names {
			require.ErrorContains(t, err, name)
		}
	}
}

func TestSmallAndDominatedClusters(t *testing.T) {
	for n := 1; n <= 4; n++ {
		c := testCluster([]uint64{1, 1, 1, 1}[:n]...)
		c.Clients.Admission = crypto.AdmitList
		require.NoError(t, c.Check())
		if n < 4 {
			require.Len(t, c.Warnings(), 1)
			require.Contains(t, c.Warnings()[0], "no faulty member")
		} else {
			require.Empty(t, c.Warnings())
		}
	}
	c := testCluster(5, 1, 1)
	require.Error(t, c.Check())
	c.AllowDominant = true
	require.NoError(t, c.Check())
	require.Len(t, c.Warnings(), 2)
	require.Contains(t, c.Warnings()[0], "r0")
	require.Contains(t, c.Warnings()[1], "session table")
	require.Zero(t, (&crypto.Cluster{}).FaultyWeight())
}

// Whatever the weights: accepted iff no sum overflows and nobody dominates, and
// F is right.
func TestWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Uint64Range(1, 1<<54), 1, 10).Draw(t, "weights")
		c := testCluster(weights...)
		err := c.Check()
		var total, largest uint64
		for _, w := range weights {
			total, largest = total+w, max(largest, w)
		}
		f := (total - 1) / 3
		valid := total < 1<<53 && (f == 0 || largest <= f)
		require.Equal(t, valid, err == nil, "%v", err)
		if valid {
			require.Equal(t, f, c.FaultyWeight())
		}
	})
}

func TestAdmits(t *testing.T) {
	require.True(t, crypto.Clients{Admission: crypto.AdmitOpen}.Admits(crypto.PublicKey{1}))
	listed := crypto.Clients{Admission: crypto.AdmitList, Keys: []crypto.PublicKey{{1}}}
	require.True(t, listed.Admits(crypto.PublicKey{1}))
	require.False(t, listed.Admits(crypto.PublicKey{2}))
}

func FuzzParseCluster(f *testing.F) {
	data, err := testCluster(1, 1, 1, 1).Encode()
	require.NoError(f, err)
	f.Add(data)
	next, err := testCluster(1).Next().Encode()
	require.NoError(f, err)
	f.Add(next)
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := crypto.ParseCluster(data)
		if err != nil {
			return
		}
		require.NoError(t, c.Check())
		again, err := c.Encode()
		require.NoError(t, err)
		back, err := crypto.ParseCluster(again)
		require.NoError(t, err)
		a, err := json.Marshal(c)
		require.NoError(t, err)
		b, err := json.Marshal(back)
		require.NoError(t, err)
		require.Equal(t, a, b)
		require.Equal(t, c.Digest(), back.Digest())
	})
}
