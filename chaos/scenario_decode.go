package chaos

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// What no honest encoder makes: lengths, indices and sets that are none.

var decodeScenarios = []Scenario{
	{
		Name: "cometbft-bit-array-length", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2025-4025"}, Kind: Caught,
		Wrong:   "The length that a bit array said it had was not compared with the elements that it brought; one message from a peer halted the network.",
		Differs: "A set of signers is bytes and nothing else; it must have exactly as many as the members need and no bit beyond them, or the certificate is malformed.",
		Rules:   "PROTOCOL 8",
		Breaches: []Breach{without("the form of a set of signers is not checked", "pbft/base.go",
			"	if signers.Check(q.N()) != nil || !q.IsQuorum(signers) {\n", "	if signers.Check(q.N()) != nil && !ON || !q.IsQuorum(signers) {\n")},
		play: playBitArrays,
	},
	{
		Name: "cometbft-index-out-of-range", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2024-3259"}, Kind: Caught,
		Wrong:   "A vote with an index that no validator has made the node panic.",
		Differs: "Whoever a message names is looked up among the members before anything else is done with the message.",
		Rules:   "DESIGN: cheap checks first",
		Breaches: []Breach{without("the signer of a claim need not be a member", "pbft/base.go",
			"	case !q.Contains(c.Signer):\n", "	case !q.Contains(c.Signer) && !ON:\n")},
		play: playIndices,
	},
	{
		Name: "cometbft-decompression-bomb", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2020-0037"}, Kind: ByDesign,
		Wrong:   "A compressed message of a few kilobytes was unpacked to gigabytes before anybody looked at it.",
		Differs: "Nothing on the wire or on the disk is compressed, and no codec for it is registered. Sizes that are declared are compared with the parts that are there.",
		Rules:   "DESIGN: no compression",
		Breaches: []Breach{without("the size that a manifest declares is not compared with its chunks", "statemachine/snapshot/manifest.go",
			"	case m.Size == 0 || (m.Size-1)/uint64(m.ChunkSize) != uint64(len(m.Chunks)-1):\n", "	case m.Size == 0 || (m.Size-1)/uint64(m.ChunkSize) != uint64(len(m.Chunks)-1) && !ON:\n")},
		play: playBombs,
	},
	{
		Name: "fisco-length-field", Origin: "FISCO-BCOS 2", Bugs: []string{"FISCO-BCOS #1951"}, Kind: Caught,
		Wrong:   "A packet whose length field was huge kept the session waiting for the rest, and its buffer growing: 4 GB in 100 seconds.",
		Differs: "Every length and count is compared with a limit and with what is left of the message before anything is allocated for it.",
		Rules:   "DESIGN: one canonical encoding",
		Breaches: []Breach{without("a count is not compared with what is left", "crypto/canon/canon.go",
			"	if minSize > 0 && uint64(n)*uint64(minSize) > uint64(len(r.rest)) {\n", "	if minSize > 0 && uint64(n)*uint64(minSize) > uint64(len(r.rest)) && !ON {\n")},
		play: playLengths,
	},
	{
		Name: "smartbft-orderers-crash-on-fuzz", Origin: "SmartBFT, FISCO-BCOS", Bugs: []string{"SmartBFT fabric #279", "FISCO-BCOS #2204"}, Kind: Caught,
		Wrong:   "Three of ten orderers sent fuzzed messages, and others crashed for good. In another system malformed fields from one node of four brought down two.",
		Differs: "What a peer sends is decoded by readers that cannot panic, and checked before it is used; it is a counted drop.",
		Rules:   "DESIGN: bad input is a drop",
		Breaches: []Breach{without("a reader does not look at how much is left", "crypto/canon/canon.go",
			"	if n < 0 || n > len(r.rest) {\n", "	if (n < 0 || n > len(r.rest)) && !ON {\n")},
		play: func(a *act) { playFuzz(a, 0) },
	},
	{
		Name: "smartbft-storm-after-fuzz", Origin: "SmartBFT", Bugs: []string{"SmartBFT fabric #274"}, Kind: Caught,
		Wrong:   "After a fuzzer had sent mutated messages and was gone, all honest nodes went on sending view changes and state transfers at a high rate and did nothing else.",
		Differs: "Nothing that a replica does not believe has an effect that lasts: what is dropped leaves a number in a counter and no more.",
		Rules:   "R10, R12",
		Mutants: []string{"M16"},
		play:    func(a *act) { playFuzz(a, 1500*time.Millisecond) },
	},
}

// setsOfSigners are malformed ones, made from a good one.
func setsOfSigners(good crypto.Bitmap) map[string]crypto.Bitmap {
	with := func(f func(b crypto.Bitmap) crypto.Bitmap) crypto.Bitmap { return f(good.Clone()) }
	return map[string]crypto.Bitmap{
		"none":               nil,
		"empty":              {},
		"a zero byte more":   with(func(b crypto.Bitmap) crypto.Bitmap { return append(b, 0) }),
		"a full byte more":   with(func(b crypto.Bitmap) crypto.Bitmap { return append(b, 0xFF) }),
		"eight kilobytes":    with(func(b crypto.Bitmap) crypto.Bitmap { return append(b, make([]byte, 8<<10)...) }),
		"the first bit more": with(func(b crypto.Bitmap) crypto.Bitmap { b[0] |= 1 << 4; return b }),
		"the last bit more":  with(func(b crypto.Bitmap) crypto.Bitmap { b[0] |= 1 << 7; return b }),
		"nobody":             with(func(b crypto.Bitmap) crypto.Bitmap { clear(b); return b }),
		"one less":           with(func(b crypto.Bitmap) crypto.Bitmap { b[0] &= b[0] - 1; return b }),
	}
}

// playBitArrays puts malformed sets into every message that has one and sends them,
// encoded, to a replica that is at work.
func playBitArrays(a *act) {
	d := a.direct(traitor(3, "mute"))
	d.corrupt(3, func(*puppet) {})
	sent, taken, undecodable := 0, map[string]bool{}, 0
	d.at(700*time.Millisecond, func() {
		b := d.core(3).StableBundle()
		good := answerFrom(d, 1, d.core(1).Committed()-2)
		claim := pbft.SignedClaim{Claim: pbft.Claim{View: 1, High: b.Commit.Rank(), Block: b.Commit.Block, Phase: pbft.Commit}, Signer: 3}
		spread := func(what string, m pbft.Message) {
			m = pbft.Sign(d.cluster, 0, m, d.replicas[3].up.keys)
			raw := pbft.Encode(0, m)
			sent++
			if _, x, err := pbft.Decode(raw); err != nil {
				undecodable++
			} else if d.verdict(1, 3, x) == pbft.NoDrop {
				taken[what] = true
			}
			for i := range pbft.ReplicaID(3) {
				d.network.send(3, i, raw)
			}
		}
		a.occurred(d.verdict(1, 3, b) == pbft.NoDrop && d.verdict(1, 3, good) == pbft.NoDrop, "good certificates to spoil")
		sets, points := setsOfSigners(b.Commit.Signers), setsOfSigners(b.Checkpoint.Signers)
		for _, what := range slices.Sorted(maps.Keys(sets)) {
			set := sets[what]
			commit := *b.Commit
			commit.Signers = set
			spread("certificate: "+what, &commit)
			spread("view change: "+what, &pbft.ViewChange{SignedClaim: claim, Certificate: &commit})
			bundle := *b
			bundle.Commit = &commit
			spread("bundle: "+what, &bundle)
			spread("blocks: "+what, &pbft.Blocks{Blocks: good.Blocks, Certificate: &commit})
			point := *b.Checkpoint
			point.Signers = points[what]
			bundle2 := *b
			bundle2.Checkpoint = &point
			spread("checkpoint: "+what, &bundle2)
		}
	})
	r := d.play()
	a.occurred(sent == 45, "%d messages with malformed sets", sent)
	a.holds(len(taken) == 0, "taken: %v", taken)
	a.holds(r.ViewChanges == 0, "view %d was reached", r.ViewChanges)
	a.fact("%d messages with sets of signers that are none: %d did not decode, the others did not verify; %d blocks", sent, undecodable, r.Blocks)
}

// playIndices names members that do not exist wherever a message names one.
func playIndices(a *act) {
	d := a.direct(traitor(3, "mute"))
	d.corrupt(3, func(*puppet) {})
	sent, taken, reasons := 0, map[string]bool{}, map[pbft.Drop]int{}
	d.at(700*time.Millisecond, func() {
		keys := d.replicas[3].up.keys
		nv := &pbft.NewView{View: 3}
		for range 3 {
			nv.Claims = append(nv.Claims, pbft.SignedClaim{Claim: pbft.Claim{View: 3, Block: d.start.Digest()}})
		}
		for _, id := range []pbft.ReplicaID{4, 5, 7, 8, 255, 256, 0x7FFF, math.MaxUint16 - 1, math.MaxUint16} {
			vote := &pbft.Vote{Statement: pbft.Statement{Phase: pbft.Commit, Height: d.core(1).Committed() + 1, Block: pbft.Digest{1}}, Signer: id, Signature: make([]byte, 32)}
			claims := append([]pbft.SignedClaim(nil), nv.Claims...)
			claims[0].Signer, claims[1].Signer, claims[2].Signer = 0, 1, id
			all := map[string]pbft.Message{
				"vote":       vote,
				"checkpoint": &pbft.CheckpointVote{CheckpointStatement: pbft.CheckpointStatement{Height: d.core(1).Committed() + 1}, Signer: id},
				"claim":      &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: pbft.Claim{View: 1, Block: d.start.Digest()}, Signer: id}},
				"new view":   pbft.Sign(d.cluster, 0, &pbft.NewView{View: 3, Claims: claims}, keys),
				"evidence":   &pbft.Evidence{Offence: pbft.ConflictingVotes, Culprit: id, Votes: []pbft.Vote{*vote, *vote}},
				"proposal":   &pbft.PrePrepare{Block: pbft.NewBlock(pbft.Header{Cluster: d.cluster, Height: d.core(1).Tip().Height + 1, Parent: d.core(1).Tip().Digest, Proposer: id}, nil)},
			}
			for _, what := range slices.Sorted(maps.Keys(all)) {
				m := all[what]
				sent++
				if why := d.verdict(1, 3, m); why == pbft.NoDrop {
					taken[fmt.Sprint(what, " ", id)] = true
				} else {
					reasons[why]++
				}
				d.network.send(3, 1, pbft.Encode(0, m))
			}
		}
		for _, n := range []uint64{0, 1 << 31, 1<<32 - 1, 1 << 63, math.MaxUint64} {
			for _, m := range []pbft.Message{
				&pbft.GetChunk{Height: d.core(1).SnapshotHeight(), Index: uint32(n)}, &pbft.GetManifest{Height: pbft.Height(n)},
				&pbft.GetBlocks{From: pbft.Height(n), Height: pbft.Height(n)}, &pbft.GetBlocks{From: pbft.Height(n)},
				&pbft.Chunk{Height: pbft.Height(n), Index: uint32(n), Data: []byte{1}},
			} {
				sent++
				d.network.send(3, 1, pbft.Encode(0, m))
			}
		}
	})
	r := d.play()
	a.occurred(sent == 79 && reasons[pbft.DropNotMember] > 20, "%d messages that name what does not exist (%v)", sent, reasons)
	a.holds(len(taken) == 0, "taken: %v", taken)
	a.fact("%d messages that name members 4 to 65535 of four, and chunks and heights up to 2^64-1: none taken, %d of them as \"%v\"; %d blocks", sent, reasons[pbft.DropNotMember], pbft.DropNotMember, r.Blocks)
}

// playBombs shows that what comes out of a decoder is as long as what went in, and
// that manifests cannot promise more than they name.
func playBombs(a *act) {
	d := a.direct(func(o *Options) { behind(o); o.Storm = time.Second })
	d.away(3, 200*time.Millisecond, 800*time.Millisecond)
	kinds, grown := map[pbft.MessageKind]bool{}, 0
	d.hold(func(_, _ pbft.ReplicaID, m pbft.Message) bool {
		raw := pbft.Encode(0, m)
		_, again, err := pbft.Decode(raw)
		if err != nil || len(pbft.Encode(0, again)) != len(raw) {
			grown++
		}
		kinds[m.Kind()] = true
		return false
	})
	d.play()
	a.occurred(len(kinds) >= 8 && kinds[pbft.KindChunk] && kinds[pbft.KindManifest], "messages of many kinds, of a state transfer too (%d)", len(kinds))
	a.holds(grown == 0, "%d messages are longer when they are decoded", grown)
	refused := 0
	for _, m := range []snapshot.Manifest{
		{Height: 8, Size: 1 << 60, ChunkSize: snapshot.MinChunkSize, Chunks: make([]crypto.Digest, 3)},
		{Height: 8, Size: math.MaxUint64, ChunkSize: snapshot.MaxChunkSize, Chunks: make([]crypto.Digest, 1)},
		{Height: 8, Size: 1 << 20, ChunkSize: math.MaxUint32, Chunks: make([]crypto.Digest, 1)},
		{Height: 8, Size: 1, ChunkSize: snapshot.MinChunkSize, Chunks: make([]crypto.Digest, 2)},
		{Height: 8, Size: 1 << 20, ChunkSize: 0, Chunks: make([]crypto.Digest, 2)},
	} {
		if _, err := snapshot.DecodeManifest(m.Encode()); err != nil {
			refused++
		}
	}
	a.holds(refused == 5, "%d of 5 manifests that promise what they do not name are refused", refused)
	a.fact("messages of %d kinds, chunks of a state among them, are as long decoded as encoded; %d manifests of up to 2^64 bytes in a few chunks refused", len(kinds), refused)
}

// playLengths writes huge lengths over every place of a message of each kind, and
// measures what decoding it allocates.
func playLengths(a *act) {
	d := a.direct(func(o *Options) { o.Storm = time.Second })
	kinds := map[pbft.MessageKind][]byte{}
	d.hold(func(_, _ pbft.ReplicaID, m pbft.Message) bool {
		raw := pbft.Encode(0, m)
		if len(raw) > len(kinds[m.Kind()]) && len(raw) < 4<<10 {
			kinds[m.Kind()] = raw
		}
		return false
	})
	d.at(500*time.Millisecond, func() { d.isolate(0) }) // for a view change
	d.play()
	tried, decoded, worst := 0, 0, 0.0
	var before, after runtime.MemStats
	for kind := range pbft.KindState + 1 {
		raw := kinds[kind]
		for at := 9; at+4 <= len(raw); at++ {
			for _, n := range []uint32{math.MaxUint32, 1 << 31, 1 << 24, 60_000, 4_000, 200} {
				bad := append([]byte(nil), raw...)
				binary.BigEndian.PutUint32(bad[at:], n)
				runtime.ReadMemStats(&before)
				_, _, err := pbft.Decode(bad)
				runtime.ReadMemStats(&after)
				tried++
				if err == nil {
					decoded++
				}
				worst = max(worst, float64(after.TotalAlloc-before.TotalAlloc)/float64(len(raw)))
				if at > 400 {
					break
				}
			}
		}
	}
	a.occurred(len(kinds) >= 7 && tried > 5000, "messages of %d kinds, %d lengths", len(kinds), tried)
	a.holds(worst < 64, "decoding allocated %.0f times the message", worst)
	a.fact("%d huge lengths at every place of messages of %d kinds: decoding never allocated more than 64 times what came", tried, len(kinds))
}

// playFuzz has three of ten send malformed and mutated messages, until a time if it is
// not 0.
func playFuzz(a *act, until time.Duration) {
	d := a.direct(func(o *Options) {
		o.Weights = equalWeights(10)
		traitor(1, "malformed")(o)
		traitor(3, "rogue")(o)
		traitor(5, "offbyone")(o)
	})
	quiet, later := uint64(0), uint64(0)
	if until > 0 {
		d.at(until, func() {
			for _, t := range d.Traitors() {
				t.plays = newMute(t.Puppet)
			}
		})
		d.at(until+100*time.Millisecond, func() { quiet = d.report.Messages })
		d.at(until+1100*time.Millisecond, func() { later = d.report.Messages })
	}
	changes := 0
	d.hold(func(from, _ pbft.ReplicaID, m pbft.Message) bool {
		switch m.(type) {
		case *pbft.ViewChange, *pbft.NewView:
			if d.replicas[from].honest() && (until == 0 || d.now > until) {
				changes++
			}
		}
		return false
	})
	r := d.play()
	deeds, refused := 0, uint64(0)
	for _, t := range d.Traitors() {
		deeds += t.Deeds()
	}
	for i := range d.replicas {
		if d.replicas[i].honest() {
			refused += d.dropped(pbft.ReplicaID(i))
		}
	}
	a.occurred(deeds > 500 && refused > 500, "fuzzed messages (%d sent, %d refused)", deeds, refused)
	a.holds(r.ViewChanges == 0 && changes == 0, "view %d was reached, %d view-change messages of honest replicas", r.ViewChanges, changes)
	if until > 0 {
		a.fact("three of ten sent fuzzed messages until %v: no view change then or later, %d messages a second among ten afterwards", until, later-quiet)
	} else {
		a.fact("three of ten sent %d fuzzed messages: %d were refused, nobody crashed, no view change", deeds, refused)
	}
	a.fact("%d blocks", r.Blocks)
}
